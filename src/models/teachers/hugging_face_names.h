#pragma once

#include <array>
#include <vector>

#include "gear/io/weights.h"

namespace gear::models {

/// How the tensor names of a Hugging Face export become those of the original authors' files.
struct HuggingFaceNames {
  /// A name, or its beginning, and what replaces it.
  struct Renaming {
    const char* from;
    const char* to;
  };

  std::vector<Renaming> outside;   ///< tensors that belong to no block
  const char* blocks;              ///< what stands before "{i}.", for example "encoder.layer."
  const char* official_blocks;     ///< the same in the official names, for example "blocks."
  std::vector<Renaming> inside;    ///< what follows "{i}."
  std::array<const char*, 3> qkv;  ///< beginnings of query, key and value, also after "{i}."
  const char* joined_qkv;          ///< beginning of the projection that holds all three
  bool key_has_bias = true;        ///< else zeros stand in its place
};

/// The tensors under their official names, q, k and v joined in this order. What `names` does not
/// mention is left out.
io::TensorMap official_names(const io::TensorMap& tensors, const HuggingFaceNames& names);

}  // namespace gear::models
