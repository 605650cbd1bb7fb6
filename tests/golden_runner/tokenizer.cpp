// Kinds tok_vq, tok_lfq, tok_glfq and tok_ibq: a whole tokenizer, the family in the name of the
// kind.

#include "gear/models/tokenizers/tokenizer.h"

#include <algorithm>

#include "dense_readout.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"

namespace gear::golden {
namespace {

// T tokens, K codes, D code width

void report_losses(const models::QuantizerLosses& losses, Report& report) {
  const std::vector<at::Tensor> slots = {losses.codebook, losses.commit, losses.entropy,
                                         losses.sample_entropy, losses.average_entropy};
  const auto is_none = at::empty({5}, at::kBool);
  for (size_t i = 0; i < slots.size(); ++i) {
    is_none[static_cast<int64_t>(i)] = !slots[i].defined();
  }
  report.output("loss_is_none", is_none);
  report.output("vq_loss", or_zero(losses.codebook));
  report.output("commit_loss", or_zero(losses.commit));
  report.output("entropy_loss", losses.entropy);
  report.output("sample_entropy", losses.sample_entropy);
  report.output("avg_entropy", losses.average_entropy);
  report.output("usage_slot", at::zeros({}));  // unused in the original code, not a result of ours
}

/// soft_T<t>, top<n>_prob and the other figures that follow from the cost matrix.
void report_assignment(const Case& golden, const models::Quantized& quantized, Report& report) {
  const auto cost = quantized.costs.matrix().detach();  // [T, K]
  const auto natural = dense::soft_assignment(cost, 1.0);
  report.output("natural_entropy_nats", -(natural * natural.log()).sum(1).mean());
  const auto used = std::get<0>(at::_unique(quantized.ids));
  report.output("codebook_usage_fraction", at::scalar_tensor(used.numel()) / cost.size(1));
  for (const auto& [name, expected] : golden.outputs()) {
    if (name.starts_with("soft_T")) {
      report.output(name, dense::soft_assignment(cost, std::stod(name.substr(6))));
    } else if (name.starts_with("top") && name.ends_with("_prob")) {
      const int64_t count = std::min<int64_t>(std::stoll(name.substr(3)), natural.size(1));
      report.output(name, std::get<0>(natural.topk(count, 1)).sum(1).mean());
    }
  }
}

void check_training(const Case& golden, models::Tokenizer& tokenizer, Report& report) {
  const auto image = golden.input("image").clone().requires_grad_(true);
  const auto tokenized = tokenizer.forward(image);
  const auto& quantized = tokenized.quantized;
  report_losses(quantized.losses, report);
  report_assignment(golden, quantized, report);
  report.output("z", tokenized.z);
  report.output("d", quantized.costs.matrix());
  report.output("indices", quantized.ids);
  report.output("z_q", quantized.z_q);
  report.output("recon", tokenized.reconstruction);

  const auto& weights = golden.config().at("scalar_weights");
  const auto soft =
      dense::soft_assignment(quantized.costs.matrix(), golden.config().at("grad_temperature"));
  const auto& losses = quantized.losses;
  const auto scalar =
      weights.at("rec").get<double>() * (tokenized.reconstruction - image.detach()).abs().mean() +
      weights.at("quant").get<double>() * losses.total() +
      weights.at("soft").get<double>() * (soft * golden.input("soft_weight")).mean();
  report.output("scalar", scalar);
  scalar.backward();
  for (const auto& item : tokenizer.named_parameters()) {
    report.grad(item.key(), item.value().grad());
  }
  report.grad("input:image", image.grad());
}

void check_evaluation(const Case& golden, models::Tokenizer& tokenizer, Report& report) {
  const at::NoGradGuard no_grad;
  const auto image = golden.input("image");
  const auto tokenized = tokenizer.forward(image);
  const auto& ids = tokenized.quantized.ids;
  report.expect("losses exist in train mode only", !tokenized.quantized.losses.total().defined());
  report.expect("encode_ids agrees with forward", tokenizer.encode_ids(image).flatten().equal(ids));
  report.output("eval_indices", ids);
  report.output("eval_z_q", tokenized.quantized.z_q);
  report.output("eval_recon", tokenized.reconstruction);

  const auto& z = tokenized.z;  // [B, D, h, w]
  const auto codes = tokenizer.quantizer().lookup(ids);
  const auto entry = codes.view({z.size(0), z.size(2), z.size(3), -1}).permute({0, 3, 1, 2});
  report.output("codebook_entry", entry);
  report.output("decode_code_image", tokenizer.decode(entry));
}

}  // namespace

Outcome check_tokenizer(const Case& golden, Report& report) {
  const std::string family = golden.json().at("kind").get<std::string>().substr(4);  // tok_<family>
  const auto tokenizer =
      models::make_tokenizer(tokenizer_config_from(family, golden.config().at("model")));
  load_weights(*tokenizer, golden.weights());
  check_training(golden, *tokenizer, report);
  tokenizer->eval();
  check_evaluation(golden, *tokenizer, report);
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
