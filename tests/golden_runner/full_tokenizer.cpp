#include <optional>

#include "dense_readout.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "golden_runner/full_model.h"
#include "golden_runner/manifests.h"

namespace gear::golden {
namespace {

/// The published tokenizers by name; empty for another one. The defaults are VQ-16.
std::optional<models::TokenizerConfig> published_config(const std::string& model) {
  using enum models::QuantizerKind;
  models::TokenizerConfig config;
  auto& quantizer = config.quantizer;
  if (model == "VQ-16") return config;
  if (model == "VQ-8") {
    config.ch_mult = {1, 2, 2, 4};
    return config;
  }
  config.num_res_blocks = 4;
  if (model == "LFQ-16") {
    quantizer = {.kind = kLfq, .codebook_size = 16384, .codebook_dim = 14};
  } else if (model == "LFQ-8") {
    config.downsample = 8;
    quantizer = {.kind = kLfq, .codebook_size = 256, .codebook_dim = 8};
  } else if (model == "GLFQ-16") {
    quantizer = {.kind = kGlfq, .codebook_size = int64_t{1} << 32, .codebook_dim = 32, .groups = 4};
  } else if (model == "IBQ-16") {
    quantizer = {.kind = kIbq, .codebook_size = 16384, .codebook_dim = 256};
  } else {
    return std::nullopt;
  }
  return config;
}

/// A published tokenizer, with the codebook that the case names.
std::optional<models::TokenizerConfig> config_from(const nlohmann::json& json) {
  auto config = published_config(json.value("model", std::string()));
  if (!config) return std::nullopt;
  auto& quantizer = config->quantizer;
  quantizer.codebook_size = json.value("codebook_size", quantizer.codebook_size);
  quantizer.codebook_dim = json.value("codebook_embed_dim", quantizer.codebook_dim);
  return config;
}

}  // namespace

Outcome check_full_tokenizer(const Case& golden, Report& report) {
  const auto config = config_from(golden.config());
  if (!config) {
    return {.handled = false,
            .not_built = "full-size " + golden.config().at("model").get<std::string>()};
  }
  const auto tokenizer = models::make_tokenizer(*config);
  fill_by_formula(*tokenizer, golden);
  const auto image = golden.input("image");
  const auto tokenized = tokenizer->forward(image);
  const auto& quantized = tokenized.quantized;
  const auto& losses = quantized.losses;
  report.output("z", tokenized.z);
  report.output("z_q", quantized.z_q);
  report.output("indices", quantized.ids);
  report.output("recon", tokenized.reconstruction);
  const auto cost = quantized.costs.matrix().detach();  // [T, K]
  const auto soft = dense::soft_assignment(cost, golden.config().at("temperature"));
  report.output("d_smallest8", std::get<0>(cost.topk(8, 1, /*largest=*/false)));
  report.output("d_first_token_every64", cost[0].slice(0, 0, std::nullopt, 64));
  report.output("soft_top8", std::get<0>(soft.topk(8, 1)));
  report.output("vq_loss", or_zero(losses.codebook));
  report.output("commit_loss", or_zero(losses.commit));
  report.output("entropy_loss", losses.entropy);
  report.output("sample_entropy", losses.sample_entropy);
  report.output("avg_entropy", losses.average_entropy);

  const auto scalar = (tokenized.reconstruction - image).abs().mean() + losses.total();
  report.output("scalar", scalar);
  scalar.backward();
  report_gradient_norms(*tokenizer, report);
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

std::shared_ptr<torch::nn::Module> build_manifest_tokenizer(const std::string& /*model*/,
                                                            const nlohmann::json& json) {
  const auto config = config_from(json);
  return config ? models::make_tokenizer(*config) : nullptr;
}

}  // namespace gear::golden
