#pragma once

#include "gear/core/error.h"

namespace gear::dist {

/// Another rank of the run is missing, has ended, or hangs; the sentence names it. No mistake in
/// the input, so the command exits with `exit_code::kRankLost`.
class LostRank : public Error {
 public:
  using Error::Error;
};

}  // namespace gear::dist

namespace gear::exit_code {
inline constexpr int kRankLost = 69;  ///< a rank was lost; all ranks stopped; run again to resume
}  // namespace gear::exit_code
