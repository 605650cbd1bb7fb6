// optimizer.on_nonfinite: rollback, on a tiny run.

#include <ATen/core/grad_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using testing::checkpoint_path;
using testing::expect_same_end;
using ::testing::HasSubstr;
using testing::message_of;
using testing::read_text;
using testing::TemporaryFolder;
using testing::tiny_config;
using testing::TinyRun;

RunConfig rollback_config() {
  RunConfig config = tiny_config();
  config.optimizer.on_nonfinite = OnNonfinite::kRollback;
  return config;
}

/// Every checkpoint is on the disk when the next step begins.
RunConfig config_that_saves_at_once() {
  RunConfig config = rollback_config();
  config.output.async_checkpoints = false;
  return config;
}

/// Damages a weight of the network before `step` runs for the first time.
void damage_once(TinyRun& run, int64_t step) {
  run.recipe.before_step = [&run, step, done = false](const StepContext& context) mutable {
    if (done || context.step != step) return;
    const at::NoGradGuard no_grad;
    run.recipe.state()[0].tensors[0].second.fill_(std::numeric_limits<float>::quiet_NaN());
    done = true;
  };
}

TEST(Rollback, AfterAPassingFaultTheRunEndsAsAnUndisturbedOne) {
  const TemporaryFolder root;
  TinyRun(rollback_config(), root.path() / "straight").train();
  for (const int64_t step : {0, 2, 6, 8}) {
    const fs::path folder = root.path() / std::to_string(step);
    TinyRun run(rollback_config(), folder);
    damage_once(run, step);
    EXPECT_EQ(run.train(), TrainOutcome::kFinished);
    expect_same_end(folder, root.path() / "straight", 9);
    EXPECT_THAT(read_text(folder / "log.txt"),
                HasSubstr("step " + std::to_string(step + 1) +
                          ": the gradient of net.first.weight is not finite; the run goes back to "
                          "step-0000000" +
                          std::to_string(step / 4 * 4)));
  }
}

TEST(Rollback, AStepThatFailsAgainIsLeftOut) {
  const TemporaryFolder root;
  TinyRun run(rollback_config(), root.path());
  run.recipe.poisoned_step = 6;
  EXPECT_EQ(run.train(), TrainOutcome::kFinished);
  const std::string log = read_text(root.path() / "log.txt");
  EXPECT_THAT(log, HasSubstr("step 7: was not finite twice; it is left out"));
  for (const TensorGroup& group : run.recipe.state()) EXPECT_EQ(first_nonfinite(group.tensors), "");

  // The moments count the updates.
  const auto state = run.recipe.state();
  for (const auto& [name, tensor] : state[2].tensors) {
    if (!name.starts_with("step.")) continue;
    EXPECT_EQ(tensor.item<double>(), 8.0) << name;
  }
}

TEST(Rollback, GoesBackFurtherWhereTheNewestCheckpointIsDamaged) {
  const TemporaryFolder root;
  TinyRun(config_that_saves_at_once(), root.path() / "straight").train();
  const fs::path folder = root.path() / "damaged";
  TinyRun run(config_that_saves_at_once(), folder);
  damage_once(run, 6);
  run.recipe.before_step = [damage = run.recipe.before_step, &folder](const StepContext& context) {
    const fs::path file = checkpoint_path(folder, 4) / "net.safetensors";
    if (context.step == 6 && fs::exists(file)) fs::resize_file(file, 20);
    damage(context);
  };
  EXPECT_EQ(run.train(), TrainOutcome::kFinished);
  EXPECT_THAT(read_text(folder / "log.txt"), HasSubstr("the run goes back to step-00000000"));
  expect_same_end(folder, root.path() / "straight", 9);
}

TEST(Rollback, WithoutAWholeCheckpointTheRunEnds) {
  const TemporaryFolder root;
  TinyRun run(config_that_saves_at_once(), root.path());
  damage_once(run, 2);
  run.recipe.before_step = [damage = run.recipe.before_step, &root](const StepContext& context) {
    if (context.step == 2) fs::remove_all(checkpoint_path(root.path(), 0));
    damage(context);
  };
  EXPECT_EQ(
      message_of([&] { run.train(); }),
      "step 3: the gradient of net.first.weight is not finite; no whole checkpoint is left in " +
          (root.path() / "checkpoints").string() + " to go back to; start the run again");
}

}  // namespace
}  // namespace gear::train
