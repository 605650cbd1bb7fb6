#pragma once

#include <cstdint>
#include <filesystem>

#include "gear/io/safetensors.h"

namespace gear::io {

/// Writes `tensors` into the folder `path` as Hugging Face's libraries lay out a model:
/// model.safetensors, or, when that would hold more than `most_bytes` of data,
/// model-00001-of-00003.safetensors and so on with model.safetensors.index.json. A tensor is never
/// divided, so a file may be larger than asked for by its only tensor. The folder appears whole or
/// not at all and replaces one that is there.
void write_sharded_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                               uint64_t most_bytes, const Metadata& metadata = {});

}  // namespace gear::io
