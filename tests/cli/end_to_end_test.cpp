// The ways a user goes: three stages, samples, stop and resume.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cli/same_run.h"
#include "gear/core/signals.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;

const std::string kLast = "checkpoints/step-00000003";

/// Trains one stage for three steps in `run`, which must succeed.
void train_stage(const TinySetup& tiny, const std::string& recipe, const fs::path& run,
                 const fs::path& from) {
  const Outcome outcome =
      tiny.train({"recipe=" + recipe, "run_dir=" + run.string(), "init.from=" + from.string(),
                  "output.preview_every=3", "output.preview_images=2", "output.sample_top_k=0",
                  "data.val_path=" + tiny.data().string(), "output.eval_every=3"});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << recipe << ": " << outcome.err;
  EXPECT_TRUE(fs::exists(run / kLast)) << recipe;
  EXPECT_TRUE(fs::exists(run / "samples" / "step-00000003.png")) << recipe;
  EXPECT_THAT(io::read_bytes(run / "metrics.jsonl"), HasSubstr("\"step\":3,")) << recipe;
  EXPECT_THAT(io::read_bytes(run / "report.html"), HasSubstr("step-00000003.png")) << recipe;
  EXPECT_EQ(partial_files(run), std::vector<std::string>()) << recipe;
}

TEST(EndToEnd, ThreeStagesTrainAndTheLastOneDrawsTheSamePicturesForTheSameSeed) {
  const TinySetup tiny;
  const fs::path tokenizer = tiny.root() / "stage-0";
  const fs::path joint = tiny.root() / "stage-1";
  const fs::path transformer = tiny.root() / "stage-2";
  train_stage(tiny, "tokenizer", tokenizer, "");
  train_stage(tiny, "gear", joint, tokenizer);
  train_stage(tiny, "ar", transformer, joint);

  for (const std::string name : {"first", "second"}) {
    const Outcome outcome =
        tiny.gear({"sample", transformer.string(), "--classes", "1,0", "--per-class", "2", "--cfg",
                   "2", "--seed", "5", "--threads", "1", "--out", (tiny.root() / name).string()});
    ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
    EXPECT_EQ(outcome.out, (tiny.root() / name / "grid.png").string() + "\n");
  }
  const auto names = names_in(tiny.root() / "first");
  EXPECT_EQ(names, (std::set<std::string>{"000000.png", "000001.png", "000002.png", "000003.png",
                                          "grid.png", "samples.npz"}));
  for (const std::string& name : names) {
    EXPECT_EQ(io::read_bytes(tiny.root() / "first" / name),
              io::read_bytes(tiny.root() / "second" / name))
        << name;
  }
  EXPECT_THAT(io::read_bytes(tiny.root() / "first" / "samples.npz"),
              HasSubstr("'descr': '|u1', 'fortran_order': False, 'shape': (4, 16, 16, 3)"));
  EXPECT_EQ(io::read_image(tiny.root() / "first" / "000003.png").width, 16);
}

TEST(EndToEnd, AFolderWithTrainAndValNeedsOneKeyAndIsMeasuredOnVal) {
  const TinySetup tiny;
  write_pictures(tiny.root() / "set" / "train");
  write_pictures(tiny.root() / "set" / "val", /*per_class=*/2);
  const Outcome outcome = tiny.train(
      {"data.path=" + (tiny.root() / "set").string(), "output.eval_every=3", "precision=auto"});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(io::read_bytes(tiny.run() / "metrics.jsonl"), HasSubstr("vq_val_ema/psnr"));
  const std::string resolved = io::read_bytes(tiny.run() / "config.yaml");
  EXPECT_THAT(resolved, HasSubstr("val_path: " + (tiny.root() / "set" / "val").string()));
  EXPECT_THAT(resolved, ::testing::ContainsRegex("precision: (fp32|bf16)\n"));
}

TEST(EndToEnd, AFinishedRunSaysThatNoStepIsLeft) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train().exit_code, exit_code::kSuccess);
  const Outcome again = tiny.train();
  EXPECT_EQ(again.exit_code, exit_code::kSuccess) << again.err;
  EXPECT_THAT(again.err, HasSubstr("no step is left: the run has done 3, and steps is 3; raise "
                                   "steps to train on"));
}

TEST(EndToEnd, WithoutHeldOutPicturesNoneAreMeasuredAndThatIsSaid) {
  const TinySetup tiny;
  const Outcome outcome = tiny.train({"output.eval_every=1"});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(
      outcome.out + outcome.err,
      HasSubstr("held-out data: none (data.val_path is empty, and the folder that data.path "
                "names has no val/), so no PSNR is measured"));
}

TEST(EndToEnd, PrintedConfigurationLoadsBackToTheSame) {
  const TinySetup tiny;
  const Outcome first = tiny.train({"ar.heads=4"}, {"--print-config"});
  ASSERT_EQ(first.exit_code, exit_code::kSuccess) << first.err;
  EXPECT_THAT(first.out, HasSubstr("heads: 4\n"));
  const std::string copy = (tiny.root() / "copy.yaml").string();
  io::write_bytes(copy, first.out);
  const Outcome second = tiny.gear({"train", copy, "--print-config"});
  EXPECT_EQ(second.exit_code, exit_code::kSuccess) << second.err;
  EXPECT_EQ(second.out, first.out);
  EXPECT_FALSE(fs::exists(tiny.run()));
}

TEST(EndToEnd, ASmallerDrawLeavesNoPictureOfALargerOne) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  const fs::path out = tiny.root() / "out";
  for (const std::string count : {"3", "1"}) {
    const Outcome outcome = tiny.gear({"sample", tiny.run().string(), "--classes", "0",
                                       "--per-class", count, "--out", out.string()});
    ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  }
  EXPECT_EQ(names_in(out), (std::set<std::string>{"000000.png", "grid.png", "samples.npz"}));
}

TEST(EndToEnd, FormatOfTheWeightsIsWrittenInThePictures) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  const fs::path out = tiny.root() / "out";
  for (const std::string format : {"fp32", "bf16", "int8"}) {
    const Outcome outcome =
        tiny.gear({"sample", tiny.run().string(), "--classes", "0", "--per-class", "1", "--cfg",
                   "2", "--weights", format, "--out", out.string()});
    ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("averaged weights in " + format));
    for (const char* name : {"000000.png", "grid.png"}) {
      EXPECT_THAT(io::read_bytes(out / name), HasSubstr(std::string("weights\0", 8) + format));
    }
  }
}

TEST(EndToEnd, AnUnknownFormatOfTheWeightsIsRefusedBeforeAnythingIsRead) {
  const TinySetup tiny;
  const fs::path out = tiny.root() / "out";
  expect_user_error(tiny.gear({"sample", "nowhere", "--weights", "int4", "--out", out.string()}),
                    "--weights: expected fp32, bf16 or int8, got int4");
  EXPECT_FALSE(fs::exists(out));
}

TEST(EndToEnd, NoClassIsNotClassZero) {
  const TinySetup tiny;
  const Outcome outcome = tiny.gear({"sample", tiny.run().string(), "--classes", ""});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.out + outcome.err, HasSubstr("expected numbers such as 2,6, got \"\""));
}

TEST(EndToEnd, AnUnknownCommandIsNamedWithTheNearestOne) {
  const TinySetup tiny;
  expect_user_error(tiny.gear({"smaple"}),
                    "smaple: there is no such command; did you mean sample?");
}

TEST(EndToEnd, InitialWeightsOfAnotherShapeNameTheConfigurationThatFits) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  const Outcome outcome = tiny.train({"run_dir=" + (tiny.root() / "other").string(),
                                      "init.from=" + tiny.run().string(), "ar.dim=64"});
  const fs::path checkpoint = tiny.run() / "checkpoints" / "step-00000001";
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(),
              ::testing::EndsWith("; it was trained with another configuration: compare "
                                  "data.num_classes, tokenizer and ar with " +
                                  (checkpoint / "config.yaml").string()));
}

TEST(EndToEnd, ClassOutsideTheModelIsRefused) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  const fs::path out = tiny.root() / "out";
  expect_user_error(
      tiny.gear({"sample", tiny.run().string(), "--classes", "0,2", "--out", out.string()}),
      "--classes: 2 is not a class of this model; expected 0 to 1");
  EXPECT_FALSE(fs::exists(out));
}

/// Waits until the run has logged `lines` steps, or has ended.
void wait_for_steps(const GearProcess& process, const fs::path& metrics, int lines) {
  while (process.running()) {
    const std::string text = io::read_bytes(metrics);
    if (std::count(text.begin(), text.end(), '\n') >= lines) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

/// A run that `signal` stops and that the same command continues ends as one that nobody stopped.
void expect_a_stop_to_change_nothing(const TinySetup& tiny, int signal,
                                     std::vector<std::string> settings) {
  settings.push_back("steps=16");
  const std::string last = "step-00000016";
  const fs::path undisturbed = train_undisturbed(tiny, settings);

  GearProcess process(tiny.root(), tiny.train_arguments(settings));
  wait_for_steps(process, tiny.run() / "metrics.jsonl", 3);
  process.kill(signal);
  const Outcome stopped = process.wait();
  ASSERT_EQ(stopped.exit_code, exit_code::kInterrupted) << stopped.err;
  EXPECT_THAT(stopped.last_error_line(),
              ::testing::MatchesRegex(std::string(signal_name(signal)) +
                                      ": stopped after step [0-9]+; run the same command again "
                                      "to go on"));
  EXPECT_EQ(names_in(tiny.run() / "checkpoints").size(), 1U);
  EXPECT_FALSE(fs::exists(tiny.run() / "checkpoints" / last));

  const Outcome resumed = tiny.train(settings);
  ASSERT_EQ(resumed.exit_code, exit_code::kSuccess) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("going on from"));
  expect_same_end(tiny.run(), undisturbed, last);
}

TEST(EndToEnd, StoppedRunResumesToTheSameEndBitForBit) {
  expect_a_stop_to_change_nothing(TinySetup(), SIGTERM, {});
}

TEST(EndToEnd, StoppedRunResumesToTheSameEndInBfloat16OnTwoThreadsWithEvaluationAndPreviews) {
  const TinySetup tiny;
  expect_a_stop_to_change_nothing(
      tiny, SIGINT,
      {"precision=bf16", "threads=2", "optimizer.accumulation=2", "output.eval_every=2",
       "output.preview_every=3", "output.preview_images=2", "output.sample_top_k=0",
       "data.val_path=" + tiny.data().string()});
}

}  // namespace
}  // namespace gear::cli::testing
