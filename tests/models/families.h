#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gear/models/tokenizers/tokenizer.h"

namespace gear::models {

/// One tokenizer of each family, small enough for unit tests.
struct Family {
  std::string name;
  TokenizerConfig config;
};

inline Family family(const std::string& name, const QuantizerConfig& quantizer) {
  Family result{name, {}};
  result.config.ch = 32;
  result.config.ch_mult = {1, 1};
  result.config.num_res_blocks = 1;
  result.config.z_channels = 16;
  result.config.quantizer = quantizer;
  return result;
}

inline std::vector<Family> families() {
  using enum QuantizerKind;
  return {
      family("Vq", {.kind = kVq, .codebook_size = 24, .codebook_dim = 4}),
      family("PlainVq", {.kind = kVq, .codebook_size = 24, .codebook_dim = 4, .l2_norm = false}),
      family("Lfq", {.kind = kLfq, .codebook_size = 64, .codebook_dim = 6}),
      family("Glfq", {.kind = kGlfq, .codebook_size = 512, .codebook_dim = 9, .groups = 3}),
      family("Ibq", {.kind = kIbq, .codebook_size = 24, .codebook_dim = 8}),
      family("CosineIbq", {.kind = kIbq, .codebook_size = 24, .codebook_dim = 8, .cosine = true}),
      family("Fsq", {.kind = kFsq, .codebook_size = 40, .codebook_dim = 2, .levels = {8, 5}}),
      family("SimVq", {.kind = kSimVq, .codebook_size = 24, .codebook_dim = 4}),
  };
}

/// Reads as "Families/<Suite>.<Test>/Lfq".
inline std::string family_name(const testing::TestParamInfo<Family>& info) {
  return info.param.name;
}

}  // namespace gear::models
