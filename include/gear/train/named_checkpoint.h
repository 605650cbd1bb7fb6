#pragma once

#include <utility>

#include "gear/train/checkpoint.h"

namespace gear::train {

/// Runs `open` on the one checkpoint that the user has named, for which no other may stand in.
/// Where it is damaged, the message of its Error also says what to do.
template <class Open>
decltype(auto) open_named(Open&& open) {
  try {
    return std::forward<Open>(open)();
  } catch (const DamagedCheckpoint& damage) {
    fail(damage.what(), "; copy it again, or name another checkpoint of the run");
  }
}

}  // namespace gear::train
