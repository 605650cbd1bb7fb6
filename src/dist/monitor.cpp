#include "dist/monitor.h"

#include <unistd.h>

#include <csignal>

#include "dist/blame.h"
#include "dist/board.h"
#include "dist/own_thread.h"
#include "gear/core/log.h"
#include "gear/core/text.h"
#include "gear/dist/lost_rank.h"

namespace gear::dist {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kBeat = seconds(1);
constexpr auto kSilence = seconds(4);     // nobody who lives is silent that long
constexpr auto kForAnswers = seconds(5);  // of a store that is not stopped
constexpr auto kSlack = seconds(10);      // the backend's own time-out comes first
constexpr auto kPatience = seconds(10);   // for a rank to end by itself when another gave up
constexpr auto kGoodbye = seconds(5);     // the others may need the store of rank 0 that long

const std::string kAdvice =
    "; all ranks stop, and the same command goes on from the last checkpoint";

[[noreturn]] void end_process(const std::string& reason) {
  log::error(reason + kAdvice);
  log::flush();
  ::_exit(exit_code::kRankLost);
}

std::vector<ProcessState> states_of(const std::vector<RankHome>& homes) {
  std::vector<ProcessState> states;
  for (const RankHome& home : homes) states.push_back(state_of(home));
  return states;
}

/// Agrees with the others on who is to blame; takes kSilence, unless one of them knows already.
std::string look_around(const Placement& placement, const std::vector<RankHome>& homes,
                        const std::string& words) {
  Board board(placement);
  Looks looks{.before = board.signs(), .after = {}, .states = {}};
  for (const auto end = std::chrono::steady_clock::now() + kSilence;
       std::chrono::steady_clock::now() < end;) {
    if (const auto known = board.verdict()) return *known;
    std::this_thread::sleep_for(milliseconds(200));
  }
  looks.after = board.signs();
  looks.now = wall_clock();
  looks.states = states_of(homes);
  const std::string found = blame(homes, looks);
  return board.agree(found.empty()
                         ? "all ranks answer, but the network between them failed (" + words + ")"
                         : found);
}

}  // namespace

Monitor::Monitor(Placement placement, std::vector<RankHome> homes, milliseconds timeout)
    : placement_(std::move(placement)),
      homes_(std::move(homes)),
      timeout_(timeout),
      line_(std::make_shared<Line>()),
      first_{.told_at = wall_clock(), .doing = "the start"} {
  sigset_t all, before;  // signals are for the threads of the program
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Monitor::~Monitor() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
  if (reason_.valid()) reason_.wait();  // its thread uses this object
  say_goodbye();
}

void Monitor::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kBeat, [this] { return stop_; })) {
    lock.unlock();
    tick();
    lock.lock();
  }
}

void Monitor::tick() {
  take_answer();
  send_sign();
  if (!verdict()) return look_for_hang();
  const std::lock_guard lock(mutex_);
  if (Clock::now() - verdict_at_ > kPatience) end_process(*verdict_);
}

void Monitor::take_answer() {
  if (!is_ready(answer_)) return;
  try {
    const Answer answer = answer_.get();
    if (answer.verdict) take_verdict(*answer.verdict);
    const std::lock_guard lock(mutex_);
    first_ = answer.first;
  } catch (const std::exception&) {
    line_ = std::make_shared<Line>();  // a new connection next time; a lost rank shows elsewhere
  }
}

void Monitor::send_sign() {
  const RankSign sign = activity_.beat();
  if (answer_.valid() || first_.finished) return;
  answer_ = in_own_thread([line = line_, placement = placement_, sign] {
    if (!line->board) line->board = std::make_unique<Board>(placement);
    line->board->tell(sign);
    return Answer{.first = line->board->first_sign(), .verdict = line->board->verdict()};
  });
}

void Monitor::look_for_hang() {
  if (reason_.valid()) {
    if (is_ready(reason_)) take_verdict(reason_.get());
  } else if (activity_.waits(timeout_ + kSlack)) {
    reason_ = in_own_thread([this] { return find_reason("no answer in time"); });
  } else if (activity_.is_idle(timeout_)) {
    fail_others("has been at " + activity_.now_doing() + " for " +
                format_duration(activity_.seconds_at_it()) + " without computing anything");
  }
}

void Monitor::take_verdict(const std::string& verdict) {
  const std::lock_guard lock(mutex_);
  if (verdict_) return;
  verdict_ = verdict;
  verdict_at_ = Clock::now();
}

std::optional<std::string> Monitor::verdict() const {
  const std::lock_guard lock(mutex_);
  return verdict_;
}

void Monitor::give_up(const std::string& words) {
  const auto known = verdict();
  const std::string reason = known ? *known : find_reason(words);
  take_verdict(reason);
  throw LostRank(reason + kAdvice);
}

void Monitor::fail_others(const std::string& sentence) {
  if (verdict()) return;  // they stop already, perhaps for the reason that this rank stops for
  const std::string reason =
      name_of(placement_.rank, homes_[static_cast<size_t>(placement_.rank)]) + " " + sentence;
  const auto agreed = within(kForAnswers, [placement = placement_, reason] {
    try {
      return Board(placement).agree(reason);
    } catch (const std::exception&) {  // the store is gone, so the others know that all is over
      return reason;
    }
  });
  take_verdict(agreed.value_or(reason));
}

std::string Monitor::find_reason(const std::string& words) const {
  const auto pause = activity_.long_pause(timeout_);
  if (pause > timeout_ / 2) {  // the others would have waited for a shorter one
    return name_of(placement_.rank, homes_[static_cast<size_t>(placement_.rank)]) +
           " was stopped itself, for " +
           format_duration(std::chrono::duration<double>(pause).count());
  }
  auto looking = in_own_thread([placement = placement_, homes = homes_, words] {
    return look_around(placement, homes, words);
  });
  const auto deadline = Clock::now() + kSilence + kForAnswers;
  while (looking.wait_for(milliseconds(100)) != std::future_status::ready) {
    if (const auto known = verdict()) return *known;
    if (Clock::now() >= deadline) return reason_of_silent_store();
  }
  try {
    return looking.get();
  } catch (const std::exception&) {
    return verdict().value_or(reason_of_silent_store());
  }
}

std::string Monitor::reason_of_silent_store() const {
  const std::string place =
      placement_.master_address + ":" + std::to_string(placement_.master_port);
  if (placement_.launcher_stores) {
    return placement_.launcher + " does not answer any more at " + place;
  }
  const std::lock_guard lock(mutex_);
  return name_of(0, homes_[0]) + " " + silence(first_, wall_clock(), state_of(homes_[0]));
}

/// The others hear that this rank has not just vanished; rank 0 serves them until they have left.
void Monitor::say_goodbye() {
  RankSign last = activity_.beat();
  last.finished = true;
  const bool serves = placement_.rank == 0 && !placement_.launcher_stores;
  within(kGoodbye, [placement = placement_, line = line_, last, serves,
                    answer = std::make_shared<std::future<Answer>>(std::move(answer_))] {
    try {
      if (answer->valid()) answer->wait();
      if (!line->board) line->board = std::make_unique<Board>(placement);
      line->board->tell(last);
      line->board->leave();
      const auto end = Clock::now() + kGoodbye;
      while (serves && line->board->left() < placement.world_size && Clock::now() < end) {
        std::this_thread::sleep_for(milliseconds(20));
      }
    } catch (const std::exception&) {  // rank 0 has left before
    }
    return true;
  });
}

}  // namespace gear::dist
