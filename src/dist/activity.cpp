#include "dist/activity.h"

#include <ctime>

namespace gear::dist {
namespace {

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

Activity::Activity() { change(); }

void Activity::doing(const std::string& what) {
  const std::lock_guard lock(mutex_);
  sign_.doing = what;
  change();
}

void Activity::enter() {
  const std::lock_guard lock(mutex_);
  ++sign_.collectives;
  change();
}

Activity::Waiting::Waiting(Activity& activity) : activity_(activity) {
  const std::lock_guard lock(activity_.mutex_);
  activity_.sign_.waiting = true;
  activity_.change();
}

Activity::Waiting::~Waiting() {
  const std::lock_guard lock(activity_.mutex_);
  activity_.sign_.waiting = false;
  activity_.change();
}

void Activity::expect_gpu(const std::function<std::function<bool()>()>& mark) {
  const std::lock_guard lock(mutex_);
  if (gpu_is_behind()) return;
  gpu_reached_ = mark();
  gpu_since_ = Clock::now();
}

RankSign Activity::beat() {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (now - beat_at_ > kLongPause) {
    pause_ = now - beat_at_;
    pause_ended_at_ = now;
  }
  beat_at_ = now;
  ++sign_.beats;
  RankSign sign = sign_;
  sign.waiting = sign_.waiting || gpu_is_behind();
  sign.told_at = wall_clock();
  return sign;
}

bool Activity::waits(Clock::duration limit) const {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  return (sign_.waiting && now - changed_at_ > limit) ||
         (gpu_is_behind() && now - gpu_since_ > limit);
}

bool Activity::is_idle(Clock::duration limit) const {
  constexpr double kBusyShare = 0.05;  // of one processor; beats and polling threads take less
  const std::lock_guard lock(mutex_);
  const std::chrono::duration<double> time = Clock::now() - changed_at_;
  return !sign_.waiting && !gpu_is_behind() && time > limit &&
         processor_seconds() - processor_then_ < kBusyShare * time.count();
}

Activity::Clock::duration Activity::long_pause(Clock::duration span) const {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (now - beat_at_ > kLongPause) return now - beat_at_;
  return now - pause_ended_at_ < span ? pause_ : Clock::duration();
}

std::string Activity::now_doing() const {
  const std::lock_guard lock(mutex_);
  return sign_.doing;
}

double Activity::seconds_at_it() const {
  const std::lock_guard lock(mutex_);
  return std::chrono::duration<double>(Clock::now() - changed_at_).count();
}

void Activity::change() {
  changed_at_ = Clock::now();
  processor_then_ = processor_seconds();
}

bool Activity::gpu_is_behind() const { return gpu_reached_ && !gpu_reached_(); }

}  // namespace gear::dist
