#include "gear/models/tokenizers/tokenizer.h"
#include "golden_runner/full_model.h"
#include "golden_runner/manifests.h"

namespace gear::golden {
namespace {

/// The published configurations: the defaults are VQ-16.
models::TokenizerConfig official_config(const nlohmann::json& config) {
  models::TokenizerConfig tokenizer;
  if (config.at("model") == "VQ-8") tokenizer.ch_mult = {1, 2, 2, 4};
  auto& quantizer = tokenizer.quantizer;
  quantizer.codebook_size = config.value("codebook_size", quantizer.codebook_size);
  quantizer.codebook_dim = config.value("codebook_embed_dim", quantizer.codebook_dim);
  return tokenizer;
}

bool is_built(const std::string& model) { return model == "VQ-16" || model == "VQ-8"; }

}  // namespace

Outcome check_full_vq(const Case& golden, Report& report) {
  const auto model = golden.config().at("model").get<std::string>();
  if (!is_built(model)) return {.handled = false, .not_built = "full-size " + model};

  const auto tokenizer = models::make_tokenizer(official_config(golden.config()));
  fill_by_formula(*tokenizer, golden);
  const auto image = golden.input("image");
  const auto tokenized = tokenizer->forward(image);
  const auto& quantized = tokenized.quantized;
  const auto& losses = quantized.losses;
  report.output("z", tokenized.z);
  report.output("z_q", quantized.z_q);
  report.output("indices", quantized.ids);
  report.output("recon", tokenized.reconstruction);
  const auto cost = quantized.cost.detach();  // [T, K]
  const auto soft = models::soft_assignment(cost, golden.config().at("temperature"));
  report.output("d_smallest8", std::get<0>(cost.topk(8, 1, /*largest=*/false)));
  report.output("d_first_token_every64", cost[0].slice(0, 0, std::nullopt, 64));
  report.output("soft_top8", std::get<0>(soft.topk(8, 1)));
  report.output("vq_loss", losses.codebook);
  report.output("commit_loss", losses.commit);
  report.output("entropy_loss", losses.entropy);
  report.output("sample_entropy", losses.sample_entropy);
  report.output("avg_entropy", losses.average_entropy);

  const auto scalar = (tokenized.reconstruction - image).abs().mean() + losses.codebook +
                      losses.commit + losses.entropy;
  report.output("scalar", scalar);
  scalar.backward();
  report_gradient_norms(*tokenizer, report);
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

std::shared_ptr<torch::nn::Module> build_manifest_vq(const std::string& model,
                                                     const nlohmann::json& config) {
  return is_built(model) ? models::make_tokenizer(official_config(config)) : nullptr;
}

}  // namespace gear::golden
