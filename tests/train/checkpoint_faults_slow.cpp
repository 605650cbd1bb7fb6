// Every kind of save, with every kind of fault at every call to the file system.

#include "disturbed_save.h"

namespace gear::train {
namespace {

using testing::kAllFaults;
using testing::kScenarios;

TEST(CheckpointFaults, AnyFaultAtAnyCallOfAnySaveLosesNothing) {
  int64_t trials = 0;
  for (const auto& scenario : kScenarios) {
    for (const auto fault : kAllFaults) trials += testing::disturb_every_call(scenario, fault);
  }
  std::cout << trials << " disturbed saves\n";
  EXPECT_GT(trials, 900);
}

}  // namespace
}  // namespace gear::train
