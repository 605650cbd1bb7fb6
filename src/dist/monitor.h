#pragma once

#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dist/activity.h"
#include "dist/rank_sign.h"
#include "gear/dist/placement.h"

namespace gear::dist {

class Board;

/// Watches over one rank. A thread tells the other ranks once a second that this process lives and
/// what it does, and hears whether one of them has given up. So a rank that hangs is named,
/// whichever it is and whatever it hangs in, and all others end:
///   - a collective fails on a rank that waits for it: give_up() finds out who is missing;
///   - this rank, or its GPU, waits longer than the backend should allow: the thread does the same;
///   - this rank comes to no collective and takes no processor time: it says so itself;
///   - another one has given up, and this one does not follow by itself: the thread ends it.
class Monitor {
 public:
  /// `timeout` is that of the collectives.
  Monitor(Placement placement, std::vector<RankHome> homes, std::chrono::milliseconds timeout);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  Activity& activity() { return activity_; }

  /// Throws LostRank naming the rank that is to blame for a collective that failed with `words`.
  [[noreturn]] void give_up(const std::string& words);
  /// Tells the other ranks that this one ends with an error; they stop and name it.
  void fail_others(const std::string& sentence);
  /// Whether the ranks have agreed to stop.
  bool is_stopping() const { return verdict().has_value(); }

 private:
  using Clock = std::chrono::steady_clock;

  struct Answer {  // of the store, to a sign
    RankSign first;
    std::optional<std::string> verdict;
  };
  struct Line {  // to the store; one thread at a time uses it
    std::unique_ptr<Board> board;
  };

  void run();
  void tick();
  void take_answer();
  void send_sign();
  void look_for_hang();
  void take_verdict(const std::string& verdict);
  std::optional<std::string> verdict() const;
  std::string find_reason(const std::string& words) const;
  std::string reason_of_silent_store() const;
  void say_goodbye();

  const Placement placement_;
  const std::vector<RankHome> homes_;
  const std::chrono::milliseconds timeout_;
  Activity activity_;

  std::shared_ptr<Line> line_;
  std::future<Answer> answer_;
  std::future<std::string> reason_;  // to stop, when the thread has seen one

  mutable std::mutex mutex_;  // of what follows
  RankSign first_;            // last sign of rank 0
  std::optional<std::string> verdict_;
  Clock::time_point verdict_at_;
  bool stop_ = false;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace gear::dist
