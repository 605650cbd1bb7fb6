#pragma once

#include <nlohmann/json.hpp>

#include "gear/models/ar/ar_config.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {

/// `config.ModelArgs` of a case (field names of the original code).
models::ArConfig ar_config_from(const nlohmann::json& model_args);

/// `config.model` of a VQ case (field names of the original code).
models::TokenizerConfig vq_config_from(const nlohmann::json& model);

/// Copies only the tensors the case has under `prefix`; the rest of the module stays as it is.
void load_present_weights(torch::nn::Module& module, const Tensors& weights,
                          const std::string& prefix);

}  // namespace gear::golden
