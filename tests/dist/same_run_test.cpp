#include "gear/dist/same_run.h"

#include <gmock/gmock.h>

#include "dist/ranks.h"
#include "io/temporary_folder.h"

namespace gear::dist {
namespace {

using ::testing::MatchesRegex;
using testing::run_ranks;

TEST(SameRun, OneProcessAgreesWithItself) { expect_same_run(World(), {{"ar.depth", "12"}}); }

TEST(SameRun, RanksWithTheSameFactsGoOn) {
  run_ranks(2, [](const World& world) {
    Facts facts = program_facts("1.2.3");
    facts.emplace_back("ar.depth", "12");
    expect_same_run(world, facts);
  });
}

TEST(SameRun, EveryRankNamesTheOneThatDiffersAndInWhat) {
  run_ranks(3, [](const World& world) {
    Facts facts = {{"the version of gear", "1.0"}, {"ar.depth", "12"}, {"data.path", "/data"}};
    if (world.rank() == 2)
      facts = {{"the version of gear", "1.1"}, {"ar.depth", "24"}, {"new", "x"}};
    EXPECT_THAT(
        io::error_of([&] { expect_same_run(world, facts); }),
        MatchesRegex(
            "rank 2 \\(host .*\\) differs from rank 0 \\(host .*\\) in the version of gear: "
            "1.1, not 1.0; ar.depth: 24, not 12; data.path: absent, not /data; new: x, not "
            "absent; start the same program with the same configuration on all ranks"));
  });
}

TEST(SameRun, AProgramIsKnownByItsBuild) {
  const Facts facts = program_facts("1.2.3");
  EXPECT_EQ(facts[0].second, "1.2.3");
  EXPECT_THAT(facts[1].second, MatchesRegex("[0-9a-f]{40}"));
}

TEST(Difference, OfManyFactsTheFirstFewAreNamed) {
  Facts facts, expected;
  for (int i = 0; i < 20; ++i) {
    facts.emplace_back("key" + std::to_string(i), "1");
    expected.emplace_back("key" + std::to_string(i), "2");
  }
  EXPECT_TRUE(difference(facts, expected).ends_with("key7: 1, not 2; and 12 more"));
  EXPECT_EQ(difference(facts, facts), "");
}

TEST(ClockDifference, NamesHostsWhoseClocksDisagree) {
  EXPECT_EQ(clock_difference({{"n1", 100.0}, {"n1", 101.0}, {"n2", 104.0}}, 5.0), "");
  EXPECT_EQ(
      clock_difference({{"n1", 100.0}, {"n2", 142.0}, {"n3", 103.0}}, 5.0),
      "the clock of host n2 is 42 s ahead of that of host n1: times in logs and of files will "
      "not fit together; synchronise them (NTP)");
  EXPECT_EQ(clock_difference({{"n1", 100.0}, {"n1", 142.0}}, 5.0), "");  // one host has one clock
}

TEST(ClockDifference, OfMoreThanAMinuteIsRefused) {
  EXPECT_NO_THROW(expect_clocks_agree({{"n1", 100.0}, {"n2", 142.0}}));
  EXPECT_THAT(io::error_of([] {
                expect_clocks_agree({{"n1", 342.0}, {"n2", 100.0}});
              }),
              MatchesRegex("the clock of host n1 is .* ahead of that of host n2: times in logs and "
                           "of files will not fit together; synchronise them \\(NTP\\), then "
                           "start again"));
}

}  // namespace
}  // namespace gear::dist
