#include "dist/meeting.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <future>

#include "dist/launch_environment.h"
#include "dist/silent_listener.h"
#include "gear/dist/lost_rank.h"
#include "io/temporary_folder.h"

namespace gear::dist {
namespace {

using io::error_of;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::EndsWith;
using testing::SilentListener;
using ::testing::StartsWith;

Placement rank_of(int64_t rank, int64_t size, uint16_t port) {
  Placement placement;
  placement.rank = placement.local_rank = rank;
  placement.world_size = placement.local_world_size = size;
  placement.master_port = port;
  return placement;
}

TEST(Meeting, AllRanksLearnWhereEachOfThemRuns) {
  const uint16_t port = free_port();
  auto second = std::async([&] { return meet(rank_of(1, 2, port), seconds(60)); });
  const Meeting first = meet(rank_of(0, 2, port), seconds(60));
  EXPECT_EQ(second.get().homes.size(), 2U);
  EXPECT_EQ(first.homes[1].host, own_home().host);
  EXPECT_EQ(first.homes[1].process, ::getpid());
}

TEST(Meeting, NamesThoseWhoDoNotCome) {
  const uint16_t port = free_port();
  const std::string at = "127.0.0.1:" + std::to_string(port);
  const std::string advice =
      "; check that all were started with this MASTER_ADDR and MASTER_PORT, and that none has ended "
      "with an error";
  auto second =
      std::async([&] { return error_of([&] { meet(rank_of(1, 4, port), seconds(3)); }); });
  EXPECT_EQ(error_of([&] { meet(rank_of(0, 4, port), seconds(3)); }),
            "rank 0 of 4: ranks 2, 3 did not come to " + at + " within 3 s" + advice);
  second.get();  // the same, or that rank 0 has ended
  EXPECT_THROW(meet(rank_of(0, 2, free_port()), milliseconds(100)), LostRank);
}

TEST(Meeting, NamesRankZeroWhenItDoesNotCome) {
  const uint16_t port = free_port();
  EXPECT_EQ(error_of([&] { meet(rank_of(1, 2, port), seconds(1)); }),
            "rank 1 of 2: rank 0 did not come to 127.0.0.1:" + std::to_string(port) +
                " within 1 s; check that it was started there and that no firewall is between");
}

TEST(Meeting, NamesAPortInUse) {
  const SilentListener other;
  EXPECT_EQ(error_of([&] { meet(rank_of(0, 2, other.port), seconds(1)); }),
            "rank 0 of 2: port " + std::to_string(other.port) +
                " of this machine is in use by another program, perhaps another run; choose "
                "another MASTER_PORT (--master-port)");
}

TEST(Meeting, IsNotHeldUpByAProgramThatDoesNotAnswer) {
  const SilentListener other;
  EXPECT_EQ(error_of([&] { meet(rank_of(1, 2, other.port), seconds(1)); }),
            "rank 1 of 2: what listens at 127.0.0.1:" + std::to_string(other.port) +
                " has not answered within 1 s; rank 0 is stopped, or another program listens "
                "there");
}

TEST(Meeting, NamesAHostThatNobodyKnows) {
  Placement placement = rank_of(1, 2, 29500);
  placement.master_address = "no-such-host.invalid";
  EXPECT_EQ(error_of([&] { meet(placement, milliseconds(1)); }),
            "rank 1 of 2: the host no-such-host.invalid is not known here; MASTER_ADDR "
            "(--master-addr) must name the machine of rank 0");
}

TEST(Meeting, ARankCannotBeTakenTwice) {
  const uint16_t port = free_port();
  auto first = std::async([&] { return error_of([&] { meet(rank_of(0, 3, port), seconds(4)); }); });
  Store store;
  while (!store) {
    try {
      store = reach_store(rank_of(0, 3, port));
    } catch (const Error&) {  // rank 0 is not there yet
    }
  }
  store->set("home/1", "77 elsewhere");
  const std::string error = error_of([&] { meet(rank_of(1, 3, port), seconds(4)); });
  EXPECT_EQ(error, "rank 1 of 3: process 77 on host elsewhere is that rank already, at 127.0.0.1:" +
                       std::to_string(port) +
                       "; give every process its own RANK, and every run its own MASTER_PORT");
  first.get();
}

TEST(Meeting, RunsThatMeetAtTheSamePlaceByAccidentDoNotMix) {
  const uint16_t port = free_port();
  Placement mine = rank_of(0, 2, port), other = rank_of(1, 2, port);
  mine.run_id = "mine";
  other.run_id = "other";
  auto first = std::async([&] { return error_of([&] { meet(mine, seconds(3)); }); });
  EXPECT_THAT(error_of([&] { meet(other, seconds(2)); }),
              StartsWith("rank 1 of 2: rank 0 did not come to"));
  EXPECT_THAT(first.get(), StartsWith("rank 0 of 2: rank 1 did not come to"));
}

}  // namespace
}  // namespace gear::dist
