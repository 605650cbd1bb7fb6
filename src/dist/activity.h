#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "dist/rank_sign.h"

namespace gear::dist {

/// What this rank does and for how long. Safe to use from several threads.
class Activity {
 public:
  using Clock = std::chrono::steady_clock;

  Activity();

  void doing(const std::string& what);  ///< "step 12"
  void enter();                         ///< one more collective was begun

  /// While it lives, this rank waits for others.
  class Waiting {
   public:
    explicit Waiting(Activity& activity);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Activity& activity_;
  };

  /// The GPU has work that ends behind a collective; `reached` tells whether it has got there.
  /// Nothing to do while an earlier one is not reached.
  void expect_gpu(const std::function<std::function<bool()>()>& mark);

  /// The sign to give now; each has one beat more.
  RankSign beat();

  /// Whether this rank, or its GPU, has been waiting for others that long.
  bool waits(Clock::duration limit) const;
  /// Whether it has been at the same thing that long without waiting for others, and without
  /// computing: what hangs in a read or a lock takes no processor time, unlike a slow step.
  bool is_idle(Clock::duration limit) const;
  /// The last pause between two beats that was longer than kLongPause, unless it ended more than
  /// `span` ago: that long this process was stopped or got no processor.
  Clock::duration long_pause(Clock::duration span) const;
  static constexpr auto kLongPause = std::chrono::seconds(4);

  std::string now_doing() const;
  double seconds_at_it() const;

 private:
  void change();  // with the lock held
  bool gpu_is_behind() const;

  mutable std::mutex mutex_;
  RankSign sign_{.doing = "the start"};
  Clock::time_point changed_at_;
  double processor_then_ = 0.0;  // seconds of all threads
  std::function<bool()> gpu_reached_;
  Clock::time_point gpu_since_;
  Clock::time_point beat_at_ = Clock::now();
  Clock::duration pause_{};
  Clock::time_point pause_ended_at_;
};

}  // namespace gear::dist
