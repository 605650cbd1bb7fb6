#pragma once

#include <ATen/ops/arange.h>

#include <string>
#include <vector>

#include "gear/data/index_file.h"

/// Index files without any picture behind them.
namespace gear::data::testing {

inline constexpr int64_t kGrid = 2;

/// Of a set of `files` files with 5 pictures each, in two classes.
inline IndexFile index_file(int64_t number = 0, int64_t files = 1) {
  constexpr int64_t kPictures = 5;
  IndexFile file{.info = {.image_size = 32,
                          .grid = kGrid,
                          .codebook_size = 300,
                          .tokenizer_sha256 = "aa",
                          .pictures_sha256 = "bb",
                          .classes = {"apple", "pear"},
                          .mirrored = true,
                          .files = files},
                 .number = number};
  const int64_t tokens = kPictures * kGrid * kGrid;
  file.indices = at::arange(tokens, at::kLong).add(number * 100).view({kPictures, -1});
  file.mirrored = file.indices.flip(1);
  file.labels = at::arange(kPictures, at::kLong).remainder(2);
  for (int64_t i = 0; i < kPictures; ++i) {
    file.names.push_back("apple/" + std::to_string(number * kPictures + i) + "\n.png");
  }
  return file;
}

}  // namespace gear::data::testing
