// Runs that are stopped, die or fail, and go on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <set>

#include "gear/core/signals.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using testing::checkpoint_path;
using testing::expect_same_end;
using testing::file_bytes;
using ::testing::HasSubstr;
using testing::message_of;
using testing::read_text;
using testing::stop_after;
using testing::TemporaryFolder;
using testing::timeless_metrics;
using testing::tiny_config;
using testing::TinyRun;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

TEST(Trainer, StoppingAfterAnyStepAndResumingRepeatsTheUninterruptedRun) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  const fs::path straight = root.path() / "straight";
  ASSERT_EQ(TinyRun(config, straight).train(), TrainOutcome::kFinished);
  // net, net_ema, optimizer, config, manifest and its checksum
  ASSERT_EQ(file_bytes(checkpoint_path(straight, config.steps)).size(), 6U);

  // After the last step too: its preview is due, and left for the resumed run.
  for (int64_t stop = 1; stop <= config.steps; ++stop) {
    const fs::path folder = root.path() / ("stopped-" + std::to_string(stop));
    ASSERT_EQ(TinyRun(config, folder).train(stop_after(stop)), TrainOutcome::kInterrupted);
    ASSERT_TRUE(fs::exists(checkpoint_path(folder, stop)));
    ASSERT_EQ(TinyRun(config, folder).train(), TrainOutcome::kFinished);
    expect_same_end(folder, straight, config.steps);
  }
}

TEST(Trainer, AStopDoesNotWaitForTheEvaluationAndPreviewThatAreDue) {
  const TemporaryFolder root;
  TinyRun run(tiny_config(), root.path());
  TrainerHooks hooks = run.hooks(stop_after(6));
  hooks.evaluate = [&](int64_t step) {
    EXPECT_NE(step, 6);
    return Metrics();
  };
  ASSERT_EQ(run.train_with(hooks), TrainOutcome::kInterrupted);
  EXPECT_EQ(names_in(root.path() / "samples"), std::set<std::string>{"step-00000003.png"});
}

TEST(Trainer, AStopBeforeTheFirstStepLeavesNothingBehindThatASecondStartWouldMeet) {
  const TemporaryFolder root;
  EXPECT_EQ(TinyRun(tiny_config(), root.path()).train(stop_after(0)), TrainOutcome::kInterrupted);
  EXPECT_FALSE(fs::exists(root.path() / "checkpoints"));
}

TEST(Trainer, DyingBetweenCheckpointsRepeatsTheLostSteps) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  const fs::path straight = root.path() / "straight";
  TinyRun(config, straight).train();
  for (int64_t death = 0; death < config.steps; ++death) {
    const fs::path folder = root.path() / ("died-" + std::to_string(death));
    {
      TinyRun run(config, folder);
      run.recipe.before_step = [death](const StepContext& context) {
        if (context.step == death) throw std::runtime_error("power cut");
      };
      EXPECT_THROW(run.train(), std::runtime_error);
    }
    TinyRun(config, folder).train();
    expect_same_end(folder, straight, config.steps);
  }
}

/// A run that an error between two steps ends after step 6 loses none of them: fixed and started
/// again, it ends as one that went through.
class TrainerErrorTest : public ::testing::Test {
 protected:
  /// What `break_run` makes the run throw.
  template <class BreakRun>
  std::string failure_of(BreakRun&& break_run) {
    TinyRun run(config_, folder_);
    TrainerHooks hooks = run.hooks([] { return 0; });
    break_run(run, hooks);
    return message_of([&] { run.train_with(hooks); });
  }

  void expect_nothing_lost() {
    EXPECT_TRUE(fs::exists(checkpoint_path(folder_, 6)));
    TinyRun(config_, root_.path() / "straight").train();
    EXPECT_EQ(TinyRun(config_, folder_).train(), TrainOutcome::kFinished);
    expect_same_end(folder_, root_.path() / "straight", config_.steps);
  }

  const TemporaryFolder root_;
  const fs::path folder_ = root_.path() / "run";
  RunConfig config_ = tiny_config();
};

TEST_F(TrainerErrorTest, OfTheDataLosesNoStep) {
  const std::string message = failure_of([](TinyRun& run, TrainerHooks&) {
    run.source.fails_at = 13;  // the second micro-batch of step 7
  });
  EXPECT_EQ(message, "micro-batch 13 cannot be read");
  expect_nothing_lost();
}

TEST_F(TrainerErrorTest, OfAnEvaluationLosesNoStep) {
  const std::string message = failure_of([](TinyRun&, TrainerHooks& hooks) {
    hooks.evaluate = [whole = hooks.evaluate](int64_t step) {
      if (step == 6) fail("no held-out images");
      return whole(step);
    };
  });
  EXPECT_EQ(message, "no held-out images");
  expect_nothing_lost();
}

TEST_F(TrainerErrorTest, OfAPreviewLosesNoStep) {
  const std::string message = failure_of([](TinyRun&, TrainerHooks& hooks) {
    hooks.preview = [whole = hooks.preview](int64_t step, const fs::path& path) {
      if (step == 6) fail("no room for pictures");
      whole(step, path);
    };
  });
  EXPECT_EQ(message, "no room for pictures");
  expect_nothing_lost();
}

TEST_F(TrainerErrorTest, IsTheOneReportedWhenSavingFailsToo) {
  config_.output.async_checkpoints = false;  // or one may still be made in the folder that goes
  const std::string message = failure_of([&](TinyRun& run, TrainerHooks&) {
    run.source.fails_at = 12;
    run.recipe.before_step = [&](const StepContext& context) {
      // A file in the place of the folder that a checkpoint is made in.
      if (context.step == 5) {
        fs::remove_all(folder_ / "checkpoints");
        std::ofstream(folder_ / "checkpoints") << "in the way";
      }
    };
  });
  EXPECT_EQ(message, "micro-batch 12 cannot be read");
  EXPECT_THAT(read_text(folder_ / "log.txt"),
              HasSubstr("warning: the steps since the last checkpoint are lost: "));
}

TEST(Trainer, GoingOnFromAnotherRunKeepsItsCheckpointAsTheFirstOfThisOne) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  const fs::path straight = root.path() / "straight";
  TinyRun(config, straight).train();
  TinyRun(config, root.path() / "other").train(stop_after(5));
  {
    TinyRun run(config, root.path() / "run", (root.path() / "other").string());
    run.recipe.before_step = [](const StepContext&) { throw std::runtime_error("power cut"); };
    EXPECT_THROW(run.train(), std::runtime_error);
  }
  EXPECT_TRUE(fs::exists(checkpoint_path(root.path() / "run", 5)));
  TinyRun(config, root.path() / "run").train();
  EXPECT_EQ(file_bytes(checkpoint_path(root.path() / "run", config.steps)),
            file_bytes(checkpoint_path(straight, config.steps)));
  EXPECT_FALSE(fs::exists(checkpoint_path(root.path() / "other", config.steps)));
}

TEST(Trainer, AFinishedRunIsLeftAsItIs) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  TinyRun(config, root.path()).train();
  const auto before = file_bytes(checkpoint_path(root.path(), config.steps));
  const std::string metrics = read_text(root.path() / "metrics.jsonl");
  EXPECT_EQ(TinyRun(config, root.path()).train(), TrainOutcome::kFinished);
  EXPECT_EQ(file_bytes(checkpoint_path(root.path(), config.steps)), before);
  EXPECT_EQ(read_text(root.path() / "metrics.jsonl"), metrics);
}

TEST(Trainer, MoreStepsGoOnFromTheEnd) {
  const TemporaryFolder root;
  TinyRun(tiny_config(12), root.path() / "straight").train();
  TinyRun(tiny_config(8), root.path() / "longer").train();
  TinyRun(tiny_config(12), root.path() / "longer").train();
  EXPECT_EQ(timeless_metrics(root.path() / "longer"), timeless_metrics(root.path() / "straight"));
}

TEST(Trainer, OtherMicroBatchesGoOnAtTheSameImage) {
  const TemporaryFolder root;
  RunConfig config = tiny_config();
  TinyRun(config, root.path()).train(stop_after(3));  // 3 steps of 2 micro-batches of 4 images
  config.optimizer.accumulation = 4;
  TinyRun run(config, root.path());
  Trainer trainer(run.config, run.recipe, run.source, run.folder);
  EXPECT_EQ(run.source.position(), 12);  // 12 micro-batches of 2 images
}

TEST(Trainer, ASignalEndsTheStepAndSaves) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) {
    const TemporaryFolder root;
    // In a process of its own: a received signal stays received.
    EXPECT_EXIT(
        {
          install_stop_signals();
          TinyRun run(tiny_config(), root.path());
          run.recipe.before_step = [signal](const StepContext& context) {
            if (context.step == 2) std::raise(signal);
          };
          const bool stopped = run.train(stop_signal) == TrainOutcome::kInterrupted;
          const bool saved = fs::exists(checkpoint_path(root.path(), 3));
          std::exit(stopped && saved ? exit_code::kInterrupted : 1);
        },
        ::testing::ExitedWithCode(exit_code::kInterrupted),
        std::string(signal_name(signal)) +
            ": stopped after step 3; run the same command again to go on");
  }
}

}  // namespace
}  // namespace gear::train
