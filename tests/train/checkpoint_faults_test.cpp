// One kind of save in which each single call fails in turn; checkpoint_faults_slow.cpp has all.

#include "disturbed_save.h"

namespace gear::train {
namespace {

using testing::Fault;
using testing::kScenarios;

class CheckpointFaults : public ::testing::TestWithParam<Fault> {};

TEST_P(CheckpointFaults, ACallThatFailsLosesNothing) {
  EXPECT_GT(testing::disturb_every_call(kScenarios[1], GetParam()), 50) << "calls of a save";
}

INSTANTIATE_TEST_SUITE_P(EveryKind, CheckpointFaults, ::testing::ValuesIn(testing::kAllFaults),
                         [](const auto& info) {
                           return std::string(testing::name_of(info.param));
                         });

TEST(CheckpointFault, AShortWriteIsContinued) {
  testing::UnsyncedFiles files;
  const io::ReplacedFileCalls replaced(files);
  for (int64_t at = 0; at < 60; ++at) {
    const testing::TemporaryFolder root;
    const CheckpointStore store(root.path(), 2);
    const auto trial = testing::disturbed_save(store, kScenarios[0], Fault::kShortWrite, at);
    EXPECT_EQ(trial.outcome, testing::kSaved) << trial.message;
    EXPECT_EQ(testing::whole_step(store), 2);
  }
}

}  // namespace
}  // namespace gear::train
