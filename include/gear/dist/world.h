#pragma once

#include <c10/core/Device.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/dist/placement.h"
#include "gear/dist/side_board.h"

// W ranks of the world

namespace gear::dist {

/// A collective that may still be running; its tensors must not be touched before wait().
class Pending {
 public:
  Pending() = default;  ///< nothing to wait for
  explicit Pending(std::function<void()> wait) : wait_(std::move(wait)) {}

  /// Returns when the result is there (on a GPU: when the current stream will see it). Throws
  /// LostRank naming the rank to blame when it does not come in time.
  void wait();

 private:
  std::function<void()> wait_;
};

/// The processes of a run, or some of them. One process is always a valid world: there every
/// collective is the identity and costs nothing. Every rank must call the same collectives in the
/// same order.
class World {
 public:
  World() = default;  ///< this process alone

  int64_t rank() const;
  int64_t size() const;
  bool is_first() const { return rank() == 0; }
  bool is_single() const { return size() == 1; }
  c10::Device device() const;  ///< where the tensors of collectives must be
  /// How long a rank waits for another; nothing for one process alone.
  std::chrono::milliseconds timeout() const;
  /// The place of this process among those of the run on its machine.
  const Placement& placement() const;

  void sum(const Tensor& tensor) const { start_sum(tensor).wait(); }  ///< in place
  void mean(const Tensor& tensor) const;                              ///< in place, floating point
  Pending start_sum(const Tensor& tensor) const;

  /// whole [W * n] becomes the parts [n] of all ranks in their order.
  Pending start_gather(const Tensor& whole, const Tensor& part) const;
  /// part [n] becomes the sum over ranks of their whole [W * n] at the place of this rank.
  Pending start_reduce_scatter(const Tensor& part, const Tensor& whole) const;
  /// received [W * n]: piece r is the piece that rank r has sent to this rank; sent [W * n].
  void exchange(const Tensor& received, const Tensor& sent) const;

  Tensor stack(const Tensor& tensor) const;  ///< [W, ...]: the tensors of all ranks, of equal sizes
  void broadcast(const Tensor& tensor, int64_t root = 0) const;  ///< in place
  void barrier() const;

  /// The texts of all ranks, through the store: for what is rare and small.
  std::vector<std::string> share(const std::string& text) const;

  /// As share(), for the sentence of what has failed on this rank, "" when nothing has. A rank may
  /// have failed amid collectives, which the others still wait in: they cannot come here, so they
  /// stop instead, naming it (see fail_others()), and its own sentence is all that it gets.
  std::vector<std::string> share_failure(const std::string& sentence) const;

  /// What this rank does from now on, as others will name it if it hangs: "step 12". A rank that
  /// goes on for long without any collective should call it now and then.
  void doing(const std::string& what) const;
  /// While what is returned lives, this rank counts as one that waits for others, although not in a
  /// collective; if it does so for too long, the ranks look who is to blame. doing() tells that it
  /// has not waited in vain. Null for one process alone.
  std::shared_ptr<void> waiting_for_others() const;
  /// To be called before this rank ends with an error that the others do not have: they stop, too,
  /// and name it. Not a collective.
  void fail_others(const std::string& sentence) const;
  /// Whether the ranks have agreed to stop: collectives are of no use any more.
  bool is_stopping() const;

  /// A new side board of this world. Every rank must ask for as many of them.
  SideBoard side_board() const;

  /// The world of those ranks that name the same `color`, in the order of their ranks here. A
  /// collective.
  World split(int64_t color) const;

  struct Group;
  explicit World(std::shared_ptr<const Group> group) : group_(std::move(group)) {}

 private:
  std::shared_ptr<const Group> group_;  // empty: this process alone
};

/// The first text that is not empty, by rank; "" when all are. A collective.
std::string first_of_ranks(const std::string& text, const World& world);

struct ConnectOptions {
  c10::Device device{c10::kCPU};        ///< CPU: Gloo; a GPU: NCCL
  std::chrono::milliseconds timeout{};  ///< of the meeting and of every collective
};

/// Meets the other ranks of the run at the address that `placement` names. A collective. Throws
/// Error for an address that cannot be used, LostRank naming who has not come in time.
///
/// From then on the ranks watch over each other. When one of them hangs, ends or fails, the
/// collectives of all others throw LostRank naming it, at the latest `timeout` and some seconds
/// later; a rank that does not get there is ended with that sentence and exit_code::kRankLost. A
/// rank may take longer from one collective to the next as long as it computes.
World connect(const Placement& placement, const ConnectOptions& options);

}  // namespace gear::dist
