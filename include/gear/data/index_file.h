#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gear/core/tensor.h"

// n pictures of a file, N tokens per picture

namespace gear::data {

/// What encoding a set of pictures to indices fixed; the same in every file of the set.
struct IndexInfo {
  int64_t image_size = 0;          ///< side of the centre crop that was encoded, in pixels
  int64_t grid = 0;                ///< tokens per side
  int64_t codebook_size = 0;       ///< an index is below it
  std::string tokenizer_sha256{};  ///< of the weights (train::tokenizer_sha256)
  std::string pictures_sha256{};   ///< of the names of all pictures of the folder, in their order
  std::vector<std::string> classes{};  ///< names by label
  bool mirrored = false;               ///< whether the mirrored pictures are there too
  int64_t files = 1;                   ///< of the set
  bool operator==(const IndexInfo&) const = default;
};

/// One file of an index set.
struct IndexFile {
  IndexInfo info;
  int64_t number = 0;                ///< from 0 to info.files - 1
  Tensor indices{};                  // [n, N] uint8, int16, int32 or int64
  Tensor mirrored{};                 // the same of the mirrored pictures; undefined without
  Tensor labels{};                   // [n] int64
  std::vector<std::string> names{};  ///< of the pictures, "class/picture.jpg"
};

/// The file as safetensors, whole or not at all: `indices`, `mirrored_indices`, `labels`, and
/// `names` and `classes` as bytes, each name ended by a zero byte; everything else as metadata. The
/// indices take the smallest type that holds the codebook.
void write_index_file(const std::filesystem::path& path, const IndexFile& file);

/// The tensors stay in the mapped file. Throws Error naming the file and what is wrong with it when
/// it is not one that write_index_file wrote, or of a newer format; whether every index is below
/// codebook_size is looked at when it is used.
IndexFile read_index_file(const std::filesystem::path& path);

}  // namespace gear::data
