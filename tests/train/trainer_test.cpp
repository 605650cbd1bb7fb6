#include "gear/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "gear/io/image.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using testing::checkpoint_path;
using testing::file_bytes;
using ::testing::HasSubstr;
using testing::message_of;
using testing::read_text;
using testing::stop_after;
using testing::TemporaryFolder;
using testing::timeless_metrics;
using testing::tiny_config;
using testing::TinyRun;

TEST(Trainer, EveryCheckpointTellsWhichDataItLearntFrom) {
  const TemporaryFolder root;
  TinyRun run(tiny_config(), root.path());
  run.train();
  EXPECT_EQ(Checkpoint(checkpoint_path(root.path(), 9)).position().data, run.folder.data());
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
  EXPECT_FALSE(fs::exists(checkpoint_path(root.path(), 4)));
  EXPECT_TRUE(fs::exists(checkpoint_path(root.path(), 8)));
  EXPECT_TRUE(fs::exists(checkpoint_path(root.path(), 9)));
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

TEST(Trainer, TellsHowLongAStepWaitsForItsData) {
  const TemporaryFolder root;
  TinyRun run(tiny_config(4), root.path());
  run.source.pause = std::chrono::milliseconds(20);  // twice a step
  run.train();
  std::ifstream stream(root.path() / "metrics.jsonl");
  int logged = 0;
  for (std::string line; std::getline(stream, line);) {
    const auto json = nlohmann::ordered_json::parse(line);
    if (!json.contains("loss_total")) continue;
    ++logged;
    const double data = json.at("time/data_seconds").get<double>();
    EXPECT_GE(data, 0.04);
    EXPECT_GE(json.at("time/save_seconds").get<double>(), 0.0);
    EXPECT_GE(json.at("time/step_seconds").get<double>(), data);
  }
  EXPECT_EQ(logged, 2);
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

TEST(Trainer, ACheckpointOfAnotherArchitectureIsRefused) {
  const TemporaryFolder root;
  const RunConfig config = tiny_config();
  TinyRun(config, root.path()).train(stop_after(1));
  const std::string before = read_text(root.path() / "config.yaml");
  EXPECT_EQ(message_of([&] { TinyRun(config, root.path(), "auto", /*width=*/6).train(); }),
            (checkpoint_path(root.path(), 1) / "net.safetensors").string() +
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
  const auto bad = file_bytes(checkpoint_path(root.path() / "bad", 6));
  const auto good = file_bytes(checkpoint_path(root.path() / "good", 6));
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

}  // namespace
}  // namespace gear::train
