#include "gear/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <limits>

#include "gear/core/signals.h"
#include "gear/io/image.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using testing::checkpoint_bytes;
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

/// Hooks that ask for a stop once, after the `count`-th step of this process.
TrainerHooks stop_after(int64_t count) {
  return {.stop = [left = count]() mutable { return --left == 0 ? SIGTERM : 0; }};
}

TEST(Trainer, StoppingAfterAnyStepAndResumingRepeatsTheUninterruptedRun) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  const fs::path straight = root.path() / "straight";
  ASSERT_EQ(TinyRun(config, straight).train(), TrainOutcome::kFinished);
  const auto expected = checkpoint_bytes(checkpoint(straight, config.steps));
  ASSERT_EQ(expected.size(), 6U);  // net, net_ema, optimizer, config, manifest and its checksum

  for (int64_t stop = 1; stop < config.steps; ++stop) {
    const fs::path folder = root.path() / ("stopped-" + std::to_string(stop));
    ASSERT_EQ(TinyRun(config, folder).train(stop_after(stop)), TrainOutcome::kInterrupted);
    ASSERT_TRUE(fs::exists(checkpoint(folder, stop)));
    ASSERT_EQ(TinyRun(config, folder).train(), TrainOutcome::kFinished);
    EXPECT_EQ(checkpoint_bytes(checkpoint(folder, config.steps)), expected)
        << "stopped after " << stop;
    EXPECT_EQ(timeless_metrics(folder), timeless_metrics(straight)) << "stopped after " << stop;
  }
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
    EXPECT_EQ(checkpoint_bytes(checkpoint(folder, config.steps)),
              checkpoint_bytes(checkpoint(straight, config.steps)));
    EXPECT_EQ(timeless_metrics(folder), timeless_metrics(straight));
  }
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
      .train({
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
      .train({.preview = [&](int64_t, const fs::path& path) { std::ofstream(path) << png; },
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
  const auto before = checkpoint_bytes(checkpoint(root.path(), config.steps));
  const std::string metrics = read_text(root.path() / "metrics.jsonl");
  EXPECT_EQ(TinyRun(config, root.path()).train(), TrainOutcome::kFinished);
  EXPECT_EQ(checkpoint_bytes(checkpoint(root.path(), config.steps)), before);
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
  const auto bad = checkpoint_bytes(checkpoint(root.path() / "bad", 6));
  const auto good = checkpoint_bytes(checkpoint(root.path() / "good", 6));
  EXPECT_EQ(bad.at("optimizer.safetensors"), good.at("optimizer.safetensors"));
  EXPECT_EQ(bad.at("net_ema.safetensors"), good.at("net_ema.safetensors"));
}

TEST(Trainer, SkipLeavesTheStepOutAndGoesOn) {
  const TemporaryFolder root;
  RunConfig config = tiny_config();
  config.optimizer.on_nonfinite = "skip";
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

TEST(Trainer, ATerminationSignalEndsTheStepAndSaves) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const TemporaryFolder root;
  // In a process of its own: a received signal stays received.
  EXPECT_EXIT(
      {
        install_stop_signals();
        TinyRun run(tiny_config(), root.path());
        run.recipe.before_step = [](const StepContext& context) {
          if (context.step == 2) std::raise(SIGTERM);
        };
        const bool stopped = run.train({}) == TrainOutcome::kInterrupted;
        const bool saved = fs::exists(checkpoint(root.path(), 3));
        std::exit(stopped && saved ? exit_code::kInterrupted : 1);
      },
      ::testing::ExitedWithCode(exit_code::kInterrupted),
      "SIGTERM: stopped after step 3; run the same command again to go on");
}

}  // namespace
}  // namespace gear::train
