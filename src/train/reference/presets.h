#pragma once

#include <string>

#include "gear/models/ar/ar_config.h"
#include "gear/models/tokenizers/tokenizer.h"

namespace gear::train::reference {

/// The networks that the reference's flags name: VQ-16, VQ-8, LFQ-16, LFQ-8, IBQ-16, GLFQ-16 and
/// LlamaGen-S to -XXXL. Throws Error on any other name.
models::TokenizerConfig tokenizer_preset(const std::string& name);
models::ArConfig transformer_preset(const std::string& name);

/// The name of the preset with this architecture, whatever its codebook and losses; "" when there
/// is none.
std::string tokenizer_name(const models::TokenizerConfig& config);
std::string transformer_name(const models::ArConfig& config);

}  // namespace gear::train::reference
