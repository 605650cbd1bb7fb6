#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace gear {

/// Seed of one named random stream. Every random decision of a run comes from
/// (run seed, purpose, step, item) and never from call order, so a run that is stopped and resumed,
/// or spread over another number of ranks, makes the same decisions.
///   purpose  for example "dropout", "crop", "init.ar"
///   step     optimizer step or epoch, 0 where it does not apply
///   item     rank-independent sample number, 0 where it does not apply
uint64_t stream_seed(uint64_t seed, std::string_view purpose, uint64_t step = 0, uint64_t item = 0);

/// SplitMix64 (Steele, Lea, Flood 2014): small, portable, and the same on every machine.
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed) : state_(seed) {}

  uint64_t next();
  double uniform();                            ///< [0, 1), 53 bits
  int64_t integer(int64_t low, int64_t high);  ///< low..high inclusive, unbiased
  bool bernoulli(double probability) { return uniform() < probability; }

 private:
  uint64_t state_;
};

/// A random permutation of 0..count-1 (Fisher-Yates).
std::vector<int64_t> permutation(int64_t count, uint64_t seed);

}  // namespace gear
