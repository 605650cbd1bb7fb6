// The ways a user goes: three stages, samples, stop and resume.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "cli/tiny_setup.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;

const std::string kLast = "checkpoints/step-00000003";

/// Trains one stage for three steps in `run`, which must succeed.
void train_stage(const TinySetup& tiny, const std::string& recipe, const fs::path& run,
                 const fs::path& from) {
  const Outcome outcome = tiny.train({"recipe=" + recipe, "run_dir=" + run.string(),
                                      "init.from=" + from.string(), "output.preview_every=3",
                                      "output.preview_images=2", "output.sample_top_k=0",
                                      "data.val_path=" + tiny.data().string(),
                                      "output.eval_every=3"});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << recipe << ": " << outcome.err;
  EXPECT_TRUE(fs::exists(run / kLast)) << recipe;
  EXPECT_TRUE(fs::exists(run / "samples" / "step-00000003.png")) << recipe;
  EXPECT_THAT(io::read_bytes(run / "metrics.jsonl"), HasSubstr("\"step\":3,")) << recipe;
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
    const Outcome outcome = tiny.gear(
        {"sample", transformer.string(), "--classes", "1,0", "--per-class", "2", "--cfg", "2",
         "--seed", "5", "--threads", "1", "--out", (tiny.root() / name).string()});
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

TEST(EndToEnd, RunStoppedBySigtermResumesToTheSameWeightsBitForBit) {
  const TinySetup tiny;
  const std::string steps = "steps=16";
  const std::string last = "checkpoints/step-00000016";
  const fs::path straight = tiny.root() / "straight";
  ASSERT_EQ(tiny.train({steps, "run_dir=" + straight.string()}).exit_code, exit_code::kSuccess);

  GearProcess process(tiny.root(), tiny.train_arguments({steps}));
  wait_for_steps(process, tiny.run() / "metrics.jsonl", 3);
  process.kill(SIGTERM);
  const Outcome stopped = process.wait();
  ASSERT_EQ(stopped.exit_code, exit_code::kInterrupted) << stopped.err;
  EXPECT_THAT(stopped.last_error_line(),
              ::testing::MatchesRegex("SIGTERM: stopped after step [0-9]+; run the same command again "
                                      "to go on"));
  EXPECT_EQ(names_in(tiny.run() / "checkpoints").size(), 1U);
  EXPECT_FALSE(fs::exists(tiny.run() / last));

  const Outcome resumed = tiny.train({steps});
  ASSERT_EQ(resumed.exit_code, exit_code::kSuccess) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("going on from"));
  const auto sums = weight_sums(tiny.run() / last);
  EXPECT_THAT(sums, ::testing::SizeIs(::testing::Ge(8U)));
  EXPECT_EQ(sums, weight_sums(straight / last));
}

}  // namespace
}  // namespace gear::cli::testing
