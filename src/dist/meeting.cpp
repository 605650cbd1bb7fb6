#include "dist/meeting.h"

#include <c10/util/Logging.h>

#include <cstdlib>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "dist/listener.h"
#include "dist/own_thread.h"
#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/dist/lost_rank.h"

namespace gear::dist {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::string address_of(const Placement& placement) {
  return placement.master_address + ":" + std::to_string(placement.master_port);
}

std::string name_of_rank(const Placement& placement) {
  return "rank " + std::to_string(placement.rank) + " of " + std::to_string(placement.world_size);
}

std::string spelled(milliseconds time) {
  return format_duration(std::chrono::duration<double>(time).count());
}

milliseconds left_until(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  return std::max(left, milliseconds(1));
}

/// c10d logs each failed attempt with a stack trace; what matters of them is in our sentences.
void quieten_c10d() {
  constexpr int kFatalOnly = 3;
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = kFatalOnly;
}

c10d::TCPStoreOptions store_options(const Placement& placement, milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = placement.master_port;
  options.waitWorkers = false;
  options.timeout = timeout;
  return options;
}

/// Two runs that meet at the same place by accident must not mix.
Store own_part(const Store& store, const Placement& placement) {
  return c10::make_intrusive<c10d::PrefixStore>("gear/" + placement.run_id, store);
}

Store serve_store(const Placement& placement, milliseconds timeout) {
  auto options = store_options(placement, timeout);
  options.isServer = true;
  try {
    return c10::make_intrusive<c10d::TCPStore>(placement.master_address, options);
  } catch (const c10::Error& error) {
    const std::string reason = error.what_without_backtrace();
    if (reason.find("EADDRINUSE") == std::string::npos) {
      fail(name_of_rank(placement), ": cannot listen at ", address_of(placement), " (", reason,
           "); MASTER_ADDR must name this machine, where rank 0 is");
    }
    fail(name_of_rank(placement), ": port ", placement.master_port,
         " of this machine is in use by another program, perhaps another run; choose another "
         "MASTER_PORT (--master-port)");
  }
}

void await_listener(const Placement& placement, milliseconds timeout) {
  switch (reach_until(placement.master_address, placement.master_port, Clock::now() + timeout)) {
    case Reach::kListening:
      return;
    case Reach::kUnknownHost:
      fail(name_of_rank(placement), ": the host ", placement.master_address,
           " is not known here; MASTER_ADDR (--master-addr) must name the machine of rank 0");
    case Reach::kSilent:
      throw LostRank(name_of_rank(placement) + ": rank 0 did not come to " + address_of(placement) +
                     " within " + spelled(timeout) +
                     "; check that it was started there and that no firewall is between");
  }
}

std::string key_of_home(int64_t rank) { return "home/" + std::to_string(rank); }

/// Fails when another process is this rank already.
void take_place(c10d::Store& store, const Placement& placement) {
  const std::string own = to_text(own_home());
  const std::vector<uint8_t> nobody;
  const auto there =
      store.compareSet(key_of_home(placement.rank), nobody, {own.begin(), own.end()});
  const std::string text(there.begin(), there.end());
  if (text == own) return;
  const RankHome home = home_of(text);
  fail(name_of_rank(placement), ": process ", home.process, " on host ", home.host,
       " is that rank already, at ", address_of(placement),
       "; give every process its own RANK, and every run its own MASTER_PORT");
}

[[noreturn]] void fail_naming_missing(c10d::Store& store, const Placement& placement,
                                      milliseconds timeout) {
  constexpr size_t kMostNamed = 16;
  std::vector<std::string> missing;
  for (int64_t rank = 0; rank < placement.world_size; ++rank) {
    if (!store.check({key_of_home(rank)})) missing.push_back(std::to_string(rank));
  }
  const size_t count = missing.size();
  if (count > kMostNamed) {
    missing.resize(kMostNamed);
    missing.back() = "..., " + std::to_string(count) + " in all";
  }
  throw LostRank(name_of_rank(placement) + ": " + (count == 1 ? "rank " : "ranks ") +
                 join(missing) + " did not come to " + address_of(placement) + " within " +
                 spelled(timeout) +
                 "; check that all were started with this MASTER_ADDR and MASTER_PORT, and that "
                 "none has ended with an error");
}

Meeting roll_call(const Store& store, const Placement& placement, milliseconds timeout,
                  Clock::time_point deadline) {
  take_place(*store, placement);
  store->set(key_of_sign(placement.rank),
             to_text(RankSign{.told_at = wall_clock(), .doing = "the start"}));
  std::vector<std::string> keys;
  for (int64_t rank = 0; rank < placement.world_size; ++rank) keys.push_back(key_of_home(rank));
  try {
    store->wait(keys, left_until(deadline));
  } catch (const c10::Error&) {
    fail_naming_missing(*store, placement, timeout);
  }
  Meeting meeting{.store = store, .homes = {}};
  for (const auto& text : store->multiGet(keys)) {
    meeting.homes.push_back(home_of({text.begin(), text.end()}));
  }
  return meeting;
}

}  // namespace

std::string key_of_sign(int64_t rank) { return "sign/" + std::to_string(rank); }

Meeting meet(const Placement& placement, milliseconds timeout) {
  quieten_c10d();
  const auto deadline = Clock::now() + timeout;
  const bool serves = placement.rank == 0 && !placement.launcher_stores;
  const Store served = serves ? serve_store(placement, timeout) : Store();
  if (!serves) await_listener(placement, timeout);
  constexpr auto kForAnswers = std::chrono::seconds(5);
  try {
    const auto met = within(left_until(deadline) + kForAnswers, [=] {
      Store store = served;
      if (!store) {
        store = c10::make_intrusive<c10d::TCPStore>(placement.master_address,
                                                    store_options(placement, timeout));
      }
      return roll_call(own_part(store, placement), placement, timeout, deadline);
    });
    if (met) return *met;
  } catch (const c10::Error& error) {
    throw LostRank(name_of_rank(placement) + ": the meeting at " + address_of(placement) +
                   " broke off (" + error.what_without_backtrace() +
                   "); rank 0 has ended with an error");
  }
  throw LostRank(name_of_rank(placement) + ": what listens at " + address_of(placement) +
                 " has not answered within " + spelled(timeout) +
                 "; rank 0 is stopped, or another program listens there");
}

Store reach_store(const Placement& placement) {
  constexpr auto kTimeout = std::chrono::seconds(5);
  if (reach(placement.master_address, placement.master_port) != Reach::kListening) {
    fail("nobody listens at ", address_of(placement));
  }
  return own_part(c10::make_intrusive<c10d::TCPStore>(placement.master_address,
                                                      store_options(placement, kTimeout)),
                  placement);
}

}  // namespace gear::dist
