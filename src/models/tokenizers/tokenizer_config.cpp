#include <bit>

#include "gear/models/tokenizers/tokenizer.h"

namespace gear::models {
namespace {

bool is_lookup_free(QuantizerKind kind) {
  return kind == QuantizerKind::kLfq || kind == QuantizerKind::kGlfq;
}

}  // namespace

bool TokenizerConfig::has_attention(size_t level) const {
  for (const int64_t chosen : attention_levels) {
    const size_t index = chosen < 0 ? ch_mult.size() - 1 : static_cast<size_t>(chosen);
    if (level == index) return true;
  }
  return false;
}

void TokenizerConfig::check_family(const config::Where& at) const {
  const int64_t full = full_downsampling();
  if (downsample > full ||
      !(downsample == 0 || std::has_single_bit(static_cast<uint64_t>(downsample)))) {
    fail(at("downsample"), "must be 0 or a power of two up to ", full,
         " (2 to the number of ch_mult levels but one), got ", downsample);
  }
  for (const int64_t level : attention_levels) {
    if (level < static_cast<int64_t>(ch_mult.size())) continue;
    fail(at("attention_levels"), "must be levels of ch_mult (0 to ", ch_mult.size() - 1,
         ") or -1, got ", level);
  }
  if (is_lookup_free(quantizer.kind)) {
    if (dropout > 0) {
      fail(at("dropout"), "must be 0: the network of lfq and glfq has no dropout, got ", dropout);
    }
  } else if (downsampling() != full) {
    fail(at("downsample"), "must be 0 or ", full, ": only lfq and glfq can do with less, got ",
         downsample);
  }
}

}  // namespace gear::models
