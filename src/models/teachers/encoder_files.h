#pragma once

#include <filesystem>
#include <string>

#include "gear/io/weights.h"

namespace gear::models {

/// Ends what is said of a tensor that no such file should be without.
inline constexpr const char* kDamagedFile = "; the file is damaged, fetch or convert it again";

enum class EncoderFamily { kDinov2, kDinov3, kSiglip2, kClip, kVjepa2 };

/// io::load_tensors of a file that must hold an encoder of `family`: the sentence that refuses
/// another one tells which family it is of, by which tensor, and what to change.
io::TensorMap load_encoder_tensors(const std::filesystem::path& path, EncoderFamily family,
                                   const io::LoadOptions& options = {});

/// io::assign_weights; what it refuses is told with a word about the size of the encoder.
void assign_encoder_weights(torch::nn::Module& model, const io::TensorMap& tensors,
                            const std::string& path, const io::AssignOptions& options = {});

}  // namespace gear::models
