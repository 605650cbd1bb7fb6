#include "gear/core/random.h"

#include <numeric>
#include <utility>

namespace gear {
namespace {

constexpr uint64_t kGamma = 0x9E3779B97F4A7C15ULL;

uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ULL;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBULL;
  return value ^ (value >> 31);
}

uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (unsigned char byte : text) hash = (hash ^ byte) * 0x100000001B3ULL;
  return hash;
}

}  // namespace

uint64_t stream_seed(uint64_t seed, std::string_view purpose, uint64_t step, uint64_t item) {
  uint64_t hash = mix(seed + kGamma);
  hash = mix(hash ^ (fnv1a(purpose) + kGamma));
  hash = mix(hash ^ (step + kGamma));
  return mix(hash ^ (item + kGamma));
}

uint64_t RandomStream::next() {
  state_ += kGamma;
  return mix(state_);
}

double RandomStream::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

int64_t RandomStream::integer(int64_t low, int64_t high) {
  const uint64_t range = static_cast<uint64_t>(high - low) + 1;
  if (range == 0) return static_cast<int64_t>(next());
  const uint64_t limit = UINT64_MAX - UINT64_MAX % range;  // rejection keeps the draw unbiased
  uint64_t draw = next();
  while (draw >= limit) draw = next();
  return low + static_cast<int64_t>(draw % range);
}

std::vector<int64_t> permutation(int64_t count, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  RandomStream stream(seed);
  for (int64_t i = count - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(stream.integer(0, i))]);
  }
  return order;
}

}  // namespace gear
