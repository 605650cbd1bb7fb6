// Kind dual_readout: one tokenizer forward read twice. The soft (or straight-through) read-out goes
// through the frozen transformer into the alignment loss; the hard one into the next-token loss.

#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros_like.h>

#include "dense_readout.h"
#include "gear/losses/alignment.h"
#include "gear/losses/next_token.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/projector.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"

namespace gear::golden {
namespace {

struct Networks {
  std::shared_ptr<models::Tokenizer> tokenizer;
  models::ArModel ar{nullptr};
  models::Projector projector{nullptr};
};

void clear_gradients(Networks& networks) {
  networks.tokenizer->zero_grad();
  networks.ar->zero_grad();
  networks.projector->zero_grad();
}

void set_trainable(torch::nn::Module& module, bool trainable) {
  for (auto& parameter : module.parameters()) parameter.requires_grad_(trainable);
}

void report_gradients(Report& report, torch::nn::Module& module, const std::string& prefix) {
  for (auto& item : module.named_parameters()) {
    auto grad = item.value().grad();
    report.grad(prefix + item.key(), grad.defined() ? grad : at::zeros_like(item.value()));
  }
}

/// How the tokens of the soft path were read.
struct SoftTokens {
  bool straight_through = false;
  double temperature = 0.0;
  at::Tensor table;      // [K, D]
  at::Tensor to_tokens;  // [B, N, D], the gradient that arrives at them
};

/// The assignments and their gradients, which the streamed read-out never holds, by definition.
void report_assignment(Report& report, const std::string& mode, const models::Quantized& quantized,
                       const SoftTokens& tokens) {
  auto cost = quantized.costs.detach().matrix().requires_grad_();  // [T, K]
  auto assignment = dense::soft_assignment(cost, tokens.temperature);
  if (tokens.straight_through) {
    assignment = dense::straight_through_assignment(assignment, quantized.ids);
  }
  const auto& arriving = tokens.to_tokens;
  auto soft = assignment.view({arriving.size(0), -1, assignment.size(1)});  // [B, N, K]
  soft.retain_grad();
  at::matmul(soft, tokens.table).backward(arriving);
  report.output(mode + ".input", soft);
  report.grad(mode + ":d", cost.grad());
  report.grad(mode + ":soft", soft.grad());
}

void check_soft_path(const Case& golden, Report& report, Networks& networks,
                     bool straight_through) {
  const std::string mode = straight_through ? "ste" : "soft";
  const auto& config = golden.config();
  const auto labels = golden.input("labels");
  clear_gradients(networks);
  set_trainable(*networks.ar, false);
  set_trainable(*networks.projector, false);
  networks.ar->eval();

  const auto z = networks.tokenizer->encode(golden.input("image"));
  const auto quantized = networks.tokenizer->quantizer().forward(z);
  const double temperature = config.at("temperature");
  const auto read = networks.ar->embed_soft(
      quantized.costs, {.temperature = temperature, .straight_through = straight_through});
  auto tokens = read.view({labels.size(0), -1, read.size(1)});  // [B, N, D]
  tokens.retain_grad();
  const auto embeddings = tokens.slice(1, 0, tokens.size(1) - 1);
  const int64_t tap = config.at("encoder_depth");
  const auto output = networks.ar->forward(labels, embeddings, {.tap = tap, .early_exit = true});
  const auto projected = networks.projector->forward(output.tap_hidden);

  std::vector<at::Tensor> targets;
  for (size_t i = 0; i < projected.size(); ++i) {
    targets.push_back(golden.input("teacher." + std::to_string(i)));
    report.output(mode + ".projected." + std::to_string(i), projected[i]);
  }
  const auto loss = losses::alignment_loss(projected, targets);
  loss.backward();
  report.output(mode + ".hidden_at_tap", output.tap_hidden);
  report.output(mode + ".align_loss", loss);
  report.output("d", quantized.costs.matrix());
  report.output("indices", quantized.ids);
  report_gradients(report, *networks.tokenizer, mode + ":vq.");
  report_assignment(report, mode, quantized,
                    {.straight_through = straight_through,
                     .temperature = temperature,
                     .table = networks.ar->tok_embeddings->weight,
                     .to_tokens = tokens.grad()});
}

void check_hard_path(const Case& golden, Report& report, Networks& networks) {
  const auto& config = golden.config();
  const auto labels = golden.input("labels");
  clear_gradients(networks);
  set_trainable(*networks.ar, true);
  set_trainable(*networks.projector, true);
  networks.ar->train();

  const auto z = networks.tokenizer->encode(golden.input("image"));
  const auto quantized = networks.tokenizer->quantizer().forward(z);
  const auto ids = quantized.ids.view({labels.size(0), -1});
  const int64_t tap = config.at("encoder_depth");
  const auto output =
      networks.ar->forward(labels, networks.ar->embed_ids(ids.slice(1, 0, ids.size(1) - 1)),
                           {.tap = tap, .head = false});
  const auto projected = networks.projector->forward(output.tap_hidden);
  std::vector<at::Tensor> targets;
  for (size_t i = 0; i < projected.size(); ++i) {
    targets.push_back(golden.input("teacher." + std::to_string(i)));
  }
  const auto ce_loss = losses::next_token_loss(output.features, networks.ar->output->weight, ids);
  const auto align = losses::alignment_loss(projected, targets);
  const auto total = ce_loss + config.at("proj_coeff").get<double>() * align;
  total.backward();
  report.output("ntp.ce_loss", ce_loss);
  report.output("ntp.align_loss", align);
  report.output("ntp.total", total);
  report_gradients(report, *networks.ar, "ntp:ar.");
  report_gradients(report, *networks.projector, "ntp:projectors.");

  int64_t reached = 0;
  double absolute_sum = 0.0;
  for (const auto& parameter : networks.tokenizer->parameters()) {
    if (!parameter.grad().defined()) continue;
    const double sum = parameter.grad().abs().sum().item<double>();
    absolute_sum += sum;
    reached += sum != 0.0;
  }
  report.output("ntp.tokenizer_params_reached", at::scalar_tensor(reached, at::kLong));
  report.output("ntp.tokenizer_grad_abs_sum", at::scalar_tensor(absolute_sum));
}

}  // namespace

Outcome check_dual_readout(const Case& golden, Report& report) {
  const auto& config = golden.config();
  const auto family = config.at("family").get<std::string>();
  if (!is_tokenizer_family(family)) return {.handled = false, .not_built = "family " + family};
  Networks networks;
  networks.tokenizer = models::make_tokenizer(tokenizer_config_from(family, config.at("model")));
  networks.ar = models::ArModel(ar_config_from(config.at("ModelArgs")));
  networks.projector =
      models::Projector(networks.ar->config().dim, config.at("projector_dim").get<int64_t>(),
                        config.at("z_dims").get<std::vector<int64_t>>());
  load_present_weights(*networks.tokenizer, golden.weights(), "vq.");  // the decoder plays no role
  load_weights(*networks.ar, golden.weights(), "ar.");
  load_weights(*networks.projector, golden.weights(), "projectors.");
  networks.tokenizer->train();

  check_soft_path(golden, report, networks, /*straight_through=*/false);
  check_soft_path(golden, report, networks, /*straight_through=*/true);
  check_hard_path(golden, report, networks);
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
