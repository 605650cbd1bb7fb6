#include "train/joint_steps.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "gear/core/clock.h"
#include "gear/core/error.h"
#include "gear/core/text.h"

namespace gear::train {
namespace {

// The first character of what a rank tells.
constexpr char kDone = '+';
constexpr char kFailed = '-';

constexpr std::chrono::milliseconds kFirstPause{1};
constexpr std::chrono::milliseconds kLongestPause{50};
constexpr double kSecondsBetweenSigns = 1;

std::string sign_key(int64_t rank) { return "progress/" + std::to_string(rank); }

/// Sets a flag, and at the end what it was before.
class FlagScope {
 public:
  explicit FlagScope(std::atomic<bool>& flag) : flag_(flag), before_(flag.exchange(true)) {}
  ~FlagScope() { flag_ = before_; }
  FlagScope(const FlagScope&) = delete;
  FlagScope& operator=(const FlagScope&) = delete;

 private:
  std::atomic<bool>& flag_;
  bool before_;
};

}  // namespace

void JointSteps::first(const std::function<void()>& action) {
  ++step_;
  if (world_.is_first()) {
    act_and_tell(action);
  } else {
    hear_verdict();
  }
}

void JointSteps::all_then_first(const std::function<std::string()>& each,
                                const std::function<void(const std::vector<std::string>&)>& then) {
  ++step_;
  if (world_.is_first()) {
    act_and_tell([&] { then(collect(each())); });
    return;
  }
  std::string told;
  try {
    told = kDone + each();
  } catch (const std::exception& error) {
    told = kFailed + std::string(error.what());
  }
  tell(key("told", world_.rank()), told);
  hear_verdict();
}

void JointSteps::act_and_tell(const std::function<void()>& action) {
  const std::string verdict = key("verdict", 0);
  try {
    action();
  } catch (const std::exception& error) {
    tell(verdict, kFailed + std::string(error.what()));
    throw;
  }
  tell(verdict, std::string(1, kDone));
  heard_.push_back(verdict);
}

/// Rank 0 keeps the texts, so that telling one is waiting for rank 0.
void JointSteps::tell(const std::string& key, const std::string& text) {
  const FlagScope waits(waits_);
  board_.set(key, text);
}

void JointSteps::hear_verdict() {
  const std::string verdict = await(key("verdict", 0), /*from_rank=*/0);
  if (verdict[0] == kFailed) throw Error(verdict.substr(1));
}

std::vector<std::string> JointSteps::collect(const std::string& own) {
  std::vector<std::string> texts = {own};
  std::string failure;
  for (int64_t rank = 1; rank < world_.size(); ++rank) {
    const std::string told = await(key("told", rank), rank);
    board_.remove(key("told", rank));
    if (told[0] == kFailed && failure.empty()) {
      failure = "rank " + std::to_string(rank) + ": " + told.substr(1);
    }
    texts.push_back(told.substr(1));
  }
  // Whoever has told something in this step has read the verdicts of those before.
  for (const std::string& old : heard_) board_.remove(old);
  heard_.clear();
  if (!failure.empty()) throw Error(failure);
  return texts;
}

void JointSteps::note_progress() {
  ++progress_;
  if (world_.is_single() || seconds_now() - progress_told_at_ < kSecondsBetweenSigns) return;
  tell(sign_key(world_.rank()), std::to_string(progress_));
  progress_told_at_ = seconds_now();
}

std::string JointSteps::await(const std::string& key, int64_t from_rank) {
  const FlagScope waits(waits_);
  const std::string who =
      "rank " + std::to_string(from_rank) + " of " + std::to_string(world_.size());
  const double patience = std::chrono::duration<double>(world_.timeout()).count();
  std::optional<std::string> last_sign;
  Stopwatch since_progress, since_look;
  for (auto pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    if (auto text = board_.get(key)) return *text;
    if (given_up_) fail("no longer waited for ", who, ", because the run ends");
    if (since_look.seconds() > kSecondsBetweenSigns) {
      since_look.restart();
      auto sign = board_.get(sign_key(from_rank));
      if (sign != last_sign) {
        last_sign = std::move(sign);
        since_progress.restart();
        note_progress();  // for those who wait for this rank
      }
    }
    if (since_progress.seconds() > patience) {
      fail("waited ", format_duration(since_progress.seconds()), " for ", who,
           ", which makes no progress with its part of a checkpoint");
    }
    std::this_thread::sleep_for(pause);
  }
}

std::string JointSteps::key(const char* what, int64_t rank) const {
  return std::to_string(step_) + "/" + what + "/" + std::to_string(rank);
}

}  // namespace gear::train
