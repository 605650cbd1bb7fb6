#include "gear/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <limits>
#include <set>

#include "gear/core/signals.h"
#include "gear/io/image.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using testing::expect_same_end;
using testing::file_bytes;
using ::testing::HasSubstr;
using testing::message_of;
using testing::read_text;
using testing::TemporaryFolder;
using testing::timeless_metrics;
using testing::tiny_config;
using testing::TinyRun;

fs::path checkpoint(const fs::path& run, int64_t step) {
  return run / "checkpoints" / checkpoint_name(step);
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

/// Asks for a stop once, after the `count`-th step of this process.
std::function<int()> stop_after(int64_t count) {
  return [left = count]() mutable { return left-- == 0 ? SIGTERM : 0; };
}

TEST(Trainer, StoppingAfterAnyStepAndResumingRepeatsTheUninterruptedRun) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  const fs::path straight = root.path() / "straight";
  ASSERT_EQ(TinyRun(config, straight).train(), TrainOutcome::kFinished);
  // net, net_ema, optimizer, config, manifest and its checksum
  ASSERT_EQ(file_bytes(checkpoint(straight, config.steps)).size(), 6U);

  // After the last step too: its preview is due, and left for the resumed run.
  for (int64_t stop = 1; stop <= config.steps; ++stop) {
    const fs::path folder = root.path() / ("stopped-" + std::to_string(stop));
    ASSERT_EQ(TinyRun(config, folder).train(stop_after(stop)), TrainOutcome::kInterrupted);
    ASSERT_TRUE(fs::exists(checkpoint(folder, stop)));
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
  EXPECT_TRUE(fs::is_empty(root.path() / "checkpoints"));
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
    EXPECT_TRUE(fs::exists(checkpoint(folder_, 6)));
    TinyRun(config_, root_.path() / "straight").train();
    EXPECT_EQ(TinyRun(config_, folder_).train(), TrainOutcome::kFinished);
    expect_same_end(folder_, root_.path() / "straight", config_.steps);
  }

  const TemporaryFolder root_;
  const fs::path folder_ = root_.path() / "run";
  const RunConfig config_ = tiny_config();
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
  EXPECT_TRUE(fs::exists(checkpoint(root.path() / "run", 5)));
  TinyRun(config, root.path() / "run").train();
  EXPECT_EQ(file_bytes(checkpoint(root.path() / "run", config.steps)),
            file_bytes(checkpoint(straight, config.steps)));
  EXPECT_FALSE(fs::exists(checkpoint(root.path() / "other", config.steps)));
}

TEST(Trainer, EveryCheckpointTellsWhichDataItLearntFrom) {
  const TemporaryFolder root;
  TinyRun run(tiny_config(), root.path());
  run.train();
  EXPECT_EQ(Checkpoint(checkpoint(root.path(), 9)).position().data, run.folder.data());
}

TEST(Trainer, AnotherSeedGivesAnotherRun) {
  const TemporaryFolder root;
  RunConfig config = tiny_config();
  TinyRun(config, root.path() / "a").train();
  config.seed = 6;
  TinyRun(config, root.path() / "b").train();
  EXPECT_NE(timeless_metrics(root.path() / "a"), timeless_metrics(root.path() / "b"));
}

TEST(Trainer, WritesTheRunFolder) {
  const TemporaryFolder root;
  RunConfig config = tiny_config();
  config.output.preview_every = 3;
  config.output.eval_every = 4;
  config.output.keep_checkpoints = 2;
  std::vector<int64_t> previews;
  TinyRun(config, root.path())
      .train_with({
          .preview =
              [&](int64_t step, const fs::path& path) {
                previews.push_back(step);
                io::write_png(path, io::Image(4, 2));
              },
          .evaluate =
              [](int64_t step) {
                Metrics metrics;
                metrics.add("eval/psnr", static_cast<double>(step));
                return metrics;
              },
          .stop = {},
      });
  EXPECT_EQ(previews, (std::vector<int64_t>{3, 6, 9}));
  EXPECT_TRUE(fs::exists(root.path() / "samples/step-00000009.png"));
  EXPECT_FALSE(fs::exists(checkpoint(root.path(), 4)));
  EXPECT_TRUE(fs::exists(checkpoint(root.path(), 8)));
  EXPECT_TRUE(fs::exists(checkpoint(root.path(), 9)));
  EXPECT_EQ(read_text(root.path() / "config.yaml"), config::dump(config));
  EXPECT_THAT(read_text(root.path() / "log.txt"), HasSubstr("saved "));
  EXPECT_FALSE(fs::exists(root.path() / "events"));  // output.tensorboard is off

  std::vector<std::string> lines;  // "step key" of the first metric
  std::ifstream stream(root.path() / "metrics.jsonl");
  for (std::string line; std::getline(stream, line);) {
    const auto json = nlohmann::ordered_json::parse(line);
    lines.push_back(std::to_string(json["step"].get<int64_t>()) + " " +
                    std::next(json.begin()).key());
  }
  EXPECT_EQ(lines,
            (std::vector<std::string>{"2 loss_total", "4 loss_total", "4 eval/psnr", "6 loss_total",
                                      "8 loss_total", "8 eval/psnr", "9 loss_total"}));
}

TEST(Trainer, WritesScalarsAndPicturesForTensorBoard) {
  const TemporaryFolder root;
  RunConfig config = tiny_config(4);
  config.output.tensorboard = true;
  config.output.preview_every = 4;
  const std::string png = io::encode_png(io::Image(4, 2));
  TinyRun(config, root.path())
      .train_with({.preview = [&](int64_t, const fs::path& path) { std::ofstream(path) << png; },
                   .stop = {}});
  std::string events;
  for (const auto& entry : fs::directory_iterator(root.path() / "events")) {
    events += read_text(entry.path());
  }
  for (const char* tag : {"loss_total", "grad_norm", "time/images_per_second", "preview"}) {
    EXPECT_THAT(events, HasSubstr(tag));
  }
  EXPECT_THAT(events, HasSubstr(png));
}

TEST(Trainer, AFinishedRunIsLeftAsItIs) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  TinyRun(config, root.path()).train();
  const auto before = file_bytes(checkpoint(root.path(), config.steps));
  const std::string metrics = read_text(root.path() / "metrics.jsonl");
  EXPECT_EQ(TinyRun(config, root.path()).train(), TrainOutcome::kFinished);
  EXPECT_EQ(file_bytes(checkpoint(root.path(), config.steps)), before);
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

TEST(Trainer, ACheckpointOfAnotherArchitectureIsRefused) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  TinyRun(config, root.path()).train(stop_after(1));
  const std::string before = read_text(root.path() / "config.yaml");
  EXPECT_EQ(message_of([&] { TinyRun(config, root.path(), "auto", /*width=*/6).train(); }),
            (checkpoint(root.path(), 1) / "net.safetensors").string() +
                ": first.weight: expected [6, 12], got [5, 12]; the checkpoint belongs to another "
                "architecture: use the configuration it was made with");
  EXPECT_EQ(read_text(root.path() / "config.yaml"), before);
}

TEST(Trainer, ABadLossStopsTheRunWithTheStateBeforeItSaved) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  {
    TinyRun run(config, root.path() / "bad");
    run.recipe.poisoned_step = 6;
    EXPECT_EQ(
        message_of([&] { run.train(); }),
        "step 7: the gradient of net.first.weight is not finite; the state before it is saved as "
        "step-00000006; lower the learning rate, raise optimizer.warmup_steps, or set precision: "
        "fp32, and resume");
  }
  // The weights are those of six good steps; the running statistics saw the batch of the bad one.
  TinyRun(tiny_config(6), root.path() / "good").train();
  const auto bad = file_bytes(checkpoint(root.path() / "bad", 6));
  const auto good = file_bytes(checkpoint(root.path() / "good", 6));
  EXPECT_EQ(bad.at("optimizer.safetensors"), good.at("optimizer.safetensors"));
  EXPECT_EQ(bad.at("net_ema.safetensors"), good.at("net_ema.safetensors"));
}

TEST(Trainer, SkipLeavesTheStepOutAndGoesOn) {
  const TemporaryFolder root;
  RunConfig config = tiny_config();
  config.optimizer.on_nonfinite = OnNonfinite::kSkip;
  TinyRun run(config, root.path());
  run.recipe.poisoned_step = 2;
  EXPECT_EQ(run.train(), TrainOutcome::kFinished);
  EXPECT_THAT(
      read_text(root.path() / "log.txt"),
      HasSubstr("step 3: the gradient of net.first.weight is not finite; the step is skipped"));
  for (const TensorGroup& group : run.recipe.state()) EXPECT_EQ(first_nonfinite(group.tensors), "");
}

TEST(Trainer, DamagedStatisticsAreNotSaved) {
  const TemporaryFolder root;
  TinyRun run(tiny_config(), root.path());
  run.recipe.poisoned_step = 2;
  run.recipe.before_step = [&](const StepContext& context) {
    if (context.step == 2) {
      run.recipe.state()[0].tensors[6].second.fill_(std::numeric_limits<float>::infinity());
    }
  };
  EXPECT_THAT(message_of([&] { run.train(); }),
              HasSubstr("; net.norm.running_mean was damaged, so no checkpoint was written; "));
  EXPECT_TRUE(run.folder.checkpoints().list().empty());
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
          const bool saved = fs::exists(checkpoint(root.path(), 3));
          std::exit(stopped && saved ? exit_code::kInterrupted : 1);
        },
        ::testing::ExitedWithCode(exit_code::kInterrupted),
        std::string(signal_name(signal)) +
            ": stopped after step 3; run the same command again to go on");
  }
}

}  // namespace
}  // namespace gear::train
