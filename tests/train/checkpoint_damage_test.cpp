// Damage at many places of a checkpoint; checkpoint_damage_slow.cpp goes over all of them.

#include "damage.h"

namespace gear::train {
namespace {

using testing::DamagedStore;
using testing::with_flipped_bit;

TEST(DamagedCheckpoint, AFlippedBitIsNoticedNamedAndTheOneBeforeUsed) {
  const DamagedStore store;
  for (const auto& [name, bytes] : store.files()) {
    for (size_t position = 0; position < bytes.size(); position += 13) {
      SCOPED_TRACE(name + ", byte " + std::to_string(position));
      store.expect_noticed(name, with_flipped_bit(bytes, position, static_cast<int>(position % 8)));
    }
  }
  store.expect_whole();
}

TEST(DamagedCheckpoint, ACutFileIsNoticedNamedAndTheOneBeforeUsed) {
  const DamagedStore store;
  for (const auto& [name, bytes] : store.files()) {
    for (size_t length = 0; length < bytes.size(); length += 29) {
      SCOPED_TRACE(name + " of " + std::to_string(length) + " bytes");
      store.expect_noticed(name, bytes.substr(0, length));
    }
  }
  store.expect_whole();
}

TEST(DamagedCheckpoint, AFileThatHasGrownIsNoticed) {
  const DamagedStore store;
  for (const auto& [name, bytes] : store.files()) store.expect_noticed(name, bytes + '\0');
  store.expect_whole();
}

}  // namespace
}  // namespace gear::train
