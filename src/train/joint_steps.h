#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gear/dist/world.h"

namespace gear::train {

/// Steps that the ranks of a world take together without collectives, so beside the training too.
/// What a step throws on one rank, it throws on all. Every rank takes the same steps in the same
/// order. A rank that makes no progress for World::timeout() while others wait for it is named.
class JointSteps {
 public:
  explicit JointSteps(const dist::World& world) : world_(world), board_(world.side_board()) {}

  /// The first rank acts while the others wait for it.
  void first(const std::function<void()>& action);

  /// Every rank does its own; then the first one acts with what all ranks have told, by rank.
  void all_then_first(const std::function<std::string()>& each,
                      const std::function<void(const std::vector<std::string>&)>& then);

  /// To be called now and then in a step that takes long.
  void note_progress();

  /// For another thread: grows with what this rank does, and with what it sees those do for whom it
  /// waits.
  int64_t progress() const { return progress_; }
  /// For another thread: whether this rank waits for others, rank 0 that keeps the texts among
  /// them.
  bool waits() const { return waits_; }

  /// Called by another thread: while set, whoever waits for other ranks throws Error instead.
  void give_up(bool given_up) { given_up_ = given_up; }

 private:
  void act_and_tell(const std::function<void()>& action);
  void hear_verdict();
  void tell(const std::string& key, const std::string& text);
  std::vector<std::string> collect(const std::string& own);
  std::string await(const std::string& key, int64_t from_rank);
  std::string key(const char* what, int64_t rank) const;

  dist::World world_;
  dist::SideBoard board_;
  int64_t step_ = 0;
  std::vector<std::string> heard_;  // keys that everybody has read
  std::atomic<int64_t> progress_{0};
  std::atomic<bool> waits_{false};
  double progress_told_at_ = 0.0;
  std::atomic<bool> given_up_{false};
};

}  // namespace gear::train
