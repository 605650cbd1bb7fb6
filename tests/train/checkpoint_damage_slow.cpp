// Every bit and every length of a small checkpoint, and damage at random places of a larger one,
// as often as GEAR_SLOW_SCALE says.

#include "damage.h"
#include "gear/core/random.h"
#include "slow_scale.h"

namespace gear::train {
namespace {

using testing::DamagedStore;
using testing::with_flipped_bit;

TEST(DamagedCheckpoint, EveryFlippedBitIsNoticed) {
  const DamagedStore store;
  for (const auto& [name, bytes] : store.files()) {
    for (size_t position = 0; position < bytes.size(); ++position) {
      for (int bit = 0; bit < 8; ++bit) {
        SCOPED_TRACE(name + ", byte " + std::to_string(position) + ", bit " + std::to_string(bit));
        store.expect_noticed(name, with_flipped_bit(bytes, position, bit));
      }
      if (::testing::Test::HasFailure()) return;
    }
  }
  store.expect_whole();
}

TEST(DamagedCheckpoint, EveryLengthIsNoticed) {
  const DamagedStore store;
  for (const auto& [name, bytes] : store.files()) {
    for (size_t length = 0; length < bytes.size(); ++length) {
      SCOPED_TRACE(name + " of " + std::to_string(length) + " bytes");
      store.expect_noticed(name, bytes.substr(0, length));
      if (::testing::Test::HasFailure()) return;
    }
  }
  store.expect_whole();
}

/// A stretch of zeros, as a block that was never written or a disk that was replaced leaves it.
std::string with_zeros(std::string bytes, size_t begin, size_t count) {
  for (size_t i = begin; i < std::min(begin + count, bytes.size()); ++i) bytes[i] = '\0';
  return bytes;
}

TEST(DamagedCheckpoint, DamageAnywhereInALargerOneIsNoticed) {
  const DamagedStore store(int64_t{1} << 20);
  const std::string name = "net.safetensors";
  const std::string& bytes = store.files().at(name);
  RandomStream stream(23);
  const int64_t trials = gear::testing::scaled(200);
  for (int64_t trial = 0; trial < trials; ++trial) {
    const auto place =
        static_cast<size_t>(stream.integer(0, static_cast<int64_t>(bytes.size()) - 1));
    const auto count = static_cast<size_t>(stream.integer(1, 9000));
    const std::string damaged = trial % 2 == 0
                                    ? with_zeros(bytes, place, count)
                                    : with_flipped_bit(bytes, place, static_cast<int>(count % 8));
    if (damaged == bytes) continue;
    SCOPED_TRACE("trial " + std::to_string(trial) + ", byte " + std::to_string(place));
    store.expect_noticed(name, damaged);
    if (::testing::Test::HasFailure()) return;
  }
  store.expect_whole();
}

}  // namespace
}  // namespace gear::train
