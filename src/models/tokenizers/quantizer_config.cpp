#include <bit>
#include <cstdint>

#include "gear/models/tokenizers/quantizer.h"

namespace gear::models {
namespace {

constexpr int64_t kMostBits = 24;  // of a table of codes; beyond it no matrix of costs fits
constexpr int64_t kMostCodes = int64_t{1} << kMostBits;

std::string name_of(QuantizerKind kind) {
  return config::EnumNames<QuantizerKind>::value[static_cast<size_t>(kind)];
}

/// Keys that one family alone reads must be left as they are by the others.
void check_foreign_keys(const QuantizerConfig& config, const config::Where& at) {
  const std::string kind = name_of(config.kind);
  if (config.kind != QuantizerKind::kGlfq && config.groups != 1) {
    fail(at("groups"), "must be 1 for ", kind, " (only glfq has groups), got ", config.groups);
  }
  if (config.kind != QuantizerKind::kFsq && !config.levels.empty()) {
    fail(at("levels"), "must be empty for ", kind, " (only fsq has levels), got ",
         sizes_string(config.levels));
  }
  if (config.kind != QuantizerKind::kIbq && config.cosine) {
    fail(at("cosine"), "must be false for ", kind, " (only ibq has the choice)");
  }
}

void check_bits(const QuantizerConfig& config, const config::Where& at) {
  const auto size = static_cast<uint64_t>(config.codebook_size);
  if (!std::has_single_bit(size)) {
    fail(at("codebook_size"), "must be a power of two for ", name_of(config.kind), ", got ", size);
  }
  if (const int64_t bits = std::countr_zero(size); config.codebook_dim != bits) {
    fail(at("codebook_dim"), "must be log2 of codebook_size (", bits, ") for ",
         name_of(config.kind), ", got ", config.codebook_dim);
  }
  if (config.codebook_dim % config.groups != 0) {
    fail(at("groups"), "must divide codebook_dim (", config.codebook_dim, "), got ", config.groups);
  }
  const int64_t bits = config.codebook_dim / config.groups;
  if (config.kind == QuantizerKind::kGlfq && bits > kMostBits) {
    fail(at("groups"), "leaves ", bits, " bits to a group; at most ", kMostBits,
         " fit a table of codes, so use more groups, got ", config.groups);
  }
}

void check_levels(const QuantizerConfig& config, const config::Where& at) {
  if (config.levels.empty()) {
    fail(at("levels"),
         "must list the number of values of each channel for fsq, for example "
         "[8, 8, 8, 6, 5]");
  }
  if (static_cast<int64_t>(config.levels.size()) != config.codebook_dim) {
    fail(at("codebook_dim"), "must be the number of levels (", config.levels.size(),
         ") for fsq, got ", config.codebook_dim);
  }
  int64_t product = 1;
  for (const int64_t values : config.levels) {
    product *= values;
    if (product > kMostCodes) fail(at("levels"), "must give at most ", kMostCodes, " codes");
  }
  if (product != config.codebook_size) {
    fail(at("codebook_size"), "must be the product of levels (", product, ") for fsq, got ",
         config.codebook_size);
  }
}

}  // namespace

void QuantizerConfig::check(const config::Where& at) const {
  check_foreign_keys(*this, at);
  if (kind == QuantizerKind::kLfq || kind == QuantizerKind::kGlfq) check_bits(*this, at);
  if (kind == QuantizerKind::kFsq) check_levels(*this, at);
  if (num_ids() > kMostCodes) {
    fail(at("codebook_size"), "must be at most ", kMostCodes, " for ", name_of(kind), ", got ",
         codebook_size);
  }
}

int64_t QuantizerConfig::num_ids() const {
  return kind == QuantizerKind::kGlfq ? int64_t{1} << (codebook_dim / groups) : codebook_size;
}

}  // namespace gear::models
