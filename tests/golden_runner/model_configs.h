#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "gear/models/ar/ar_config.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {

/// What is text-conditional of the following; nothing where it has no `caption_dim`.
std::optional<models::TextConfig> text_config_from(const nlohmann::json& model_args);

/// `config.ModelArgs` of a case (field names of the original code).
models::ArConfig ar_config_from(const nlohmann::json& model_args);

/// `config.model` of a tokenizer case (field names of the original code); `family` is vq, lfq, glfq
/// or ibq. Throws Error for another one.
models::TokenizerConfig tokenizer_config_from(const std::string& family,
                                              const nlohmann::json& model);

/// `config.args` of a quantizer case, likewise.
models::QuantizerConfig quantizer_config_from(const std::string& family,
                                              const nlohmann::json& args);

/// Levels at which the running size, counted from `resolution`, is one of `attention_sizes`.
std::vector<int64_t> attention_levels_from(int64_t resolution,
                                           const std::vector<int64_t>& attention_sizes,
                                           size_t num_levels);

bool is_tokenizer_family(const std::string& family);

/// Copies only the tensors the case has under `prefix`; the rest of the module stays as it is.
void load_present_weights(torch::nn::Module& module, const Tensors& weights,
                          const std::string& prefix);

}  // namespace gear::golden
