#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dist/group.h"
#include "dist/rank_sign.h"

namespace gear::dist {

/// What ranks tell each other beside the collectives, through a connection of its own to the store.
/// Every call may throw, or not return while the process that serves the store is stopped.
class Board {
 public:
  explicit Board(const Placement& placement);

  void tell(const RankSign& own);
  RankSign first_sign();  ///< that of rank 0
  std::vector<RankSign> signs();

  /// Why all ranks stop, once one of them has said it.
  std::optional<std::string> verdict();
  /// Offers a reason to stop; gives the one that was offered first.
  std::string agree(const std::string& reason);

  void leave();
  int64_t left();  ///< ranks that called leave()

 private:
  Store store_;
  int64_t rank_, size_;
};

}  // namespace gear::dist
