// gear inspect and gear doctor: what they tell about files and machines.

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tiny_setup.h"
#include "gear/core/text.h"
#include "gear/io/safetensors.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Inspect, RunFolderTellsConfigurationCheckpointsMetricsAndNetworks) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=2", "output.checkpoint_every=1"}).exit_code, exit_code::kSuccess);
  const Outcome outcome = tiny.gear({"inspect", tiny.run().string()});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  for (const std::string text :
       {"recipe gear, 2 steps of 4 images, fp32, seed 3", "2 classes, 16 x 16 pixels",
        "tokenizer: 8 x 8 tokens of 32 codes of width 4", "transformer: dim 32, depth 2, 2 heads",
        "aligned with dinov2-custom", "2 checkpoints", "step-00000001", "step-00000002", "ce_loss",
        "gear checkpoint of step 2, 8 images seen, seed 3",
        "every file has the size and the SHA-256 that its manifest lists",
        "VQ tokenizer: 32 codes of width 4, base width 32, downsampling 2",
        "LlamaGen transformer: dim 32, depth 2, 32 codes, class table of 3 rows",
        "projector: from width 32 through 32 to 32, 1 teacher",
        "PatchGAN discriminator: base width 8", "Adam moments of"}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
  EXPECT_THAT(outcome.out, Not(HasSubstr("unknown network")));
}

TEST(Inspect, MatchListsTypeAndShapeOfTheTensorsAskedFor) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "dino.safetensors").string();
  io::write_safetensors(path, {{"cls_token", at::zeros({1, 1, 8})},
                               {"patch_embed.proj.weight", at::zeros({8, 3, 14, 14})},
                               {"blocks.0.norm1.weight", at::zeros({8}, at::kBFloat16)},
                               {"blocks.1.norm1.weight", at::zeros({8}, at::kBFloat16)}});
  const Outcome outcome = tiny.gear({"inspect", path, "--match", "blocks.1"});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out,
              HasSubstr(path + ": safetensors, 4 tensors, 4,728 values (F32, BF16), 18.4 KiB\n"));
  EXPECT_THAT(outcome.out,
              HasSubstr("DINOv2 vision transformer: dim 8, depth 2, patches of 14 pixels"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("blocks.1.norm1.weight +BF16 +\\[8\\]\n"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("blocks.0.norm1.weight")));

  expect_user_error(tiny.gear({"inspect", path, "--match", "lora"}),
                    "--match lora: no tensor of " + path + " has this in its name");
}

TEST(Inspect, SmallWeightFileListsItsTensorsUnasked) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "two.safetensors").string();
  io::write_safetensors(path, {{"a.weight", at::zeros({2, 3})}, {"b", at::zeros({})}});
  const Outcome outcome = tiny.gear({"inspect", path});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(path + ": safetensors, 2 tensors, 7 values (F32), 28 B\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("a.weight +F32 +\\[2, 3\\]\n"));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("b +F32 +\\[\\]\n"));
}

TEST(Inspect, LargeWeightFileTellsHowToListItsTensors) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "many.safetensors").string();
  io::NamedTensors tensors;
  for (int i = 0; i < 501; ++i) tensors.emplace_back("t" + std::to_string(i), at::zeros({1}));
  io::write_safetensors(path, tensors);
  const Outcome outcome = tiny.gear({"inspect", path});
  EXPECT_THAT(outcome.out,
              ::testing::EndsWith("  --tensors lists the names and shapes of all tensors, "
                                  "--match TEXT of some\n"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("t500 ")));
  EXPECT_THAT(tiny.gear({"inspect", path, "--tensors"}).out, HasSubstr("t500 "));
}

TEST(Inspect, NamesTheFamilyOfATokenizer) {
  const TinySetup tiny;
  const std::string ibq = (tiny.root() / "ibq.safetensors").string();
  io::write_safetensors(ibq, {{"encoder.conv_in.weight", at::zeros({32, 3, 3, 3})},
                              {"encoder.down.0.block.0.conv1.weight", at::zeros({32, 32, 3, 3})},
                              {"encoder.down.1.block.0.conv1.weight", at::zeros({32, 32, 3, 3})},
                              {"quantize.embedding.weight", at::zeros({16, 8})}});
  EXPECT_THAT(tiny.gear({"inspect", ibq}).out,
              HasSubstr("IBQ tokenizer: 16 codes of width 8, base width 32, downsampling 2"));
  const std::string lfq = (tiny.root() / "lfq.safetensors").string();
  io::write_safetensors(lfq, {{"encoder.conv_in.weight", at::zeros({32, 3, 3, 3})},
                              {"encoder.down.0.downsample.weight", at::zeros({32, 32, 3, 3})},
                              {"encoder.down.1.downsample.weight", at::zeros({32, 32, 3, 3})},
                              {"encoder.conv_out.weight", at::zeros({6, 32, 1, 1})},
                              {"decoder.adaptive.0.gamma.weight", at::zeros({32, 6})}});
  EXPECT_THAT(tiny.gear({"inspect", lfq}).out,
              HasSubstr("LFQ tokenizer: 6 bits a token, base width 32, downsampling 4"));
}

TEST(Inspect, FilesThatAreNoWeightsAreCalledWhatTheyAre) {
  const TinySetup tiny;
  const std::string missing = (tiny.root() / "none.pt").string();
  expect_user_error(tiny.gear({"inspect", missing}),
                    missing +
                        ": no such file or folder; expected a run folder, a checkpoint folder "
                        "or a weight file");
  const std::string empty = (tiny.root() / "empty.pt").string();
  io::write_bytes(empty, "");
  expect_user_error(tiny.gear({"inspect", empty}), empty + ": is empty; fetch or copy it again");
  const std::string page = (tiny.root() / "page.ckpt").string();
  io::write_bytes(page, "<!DOCTYPE html><html></html>");
  expect_user_error(tiny.gear({"inspect", page}),
                    page +
                        ": is a web page, not weights; the link probably needed a login, fetch "
                        "it again");
}

TEST(Doctor, TellsBuildMachineAndMeasuredSpeed) {
  const TinySetup tiny;
  const Outcome outcome = tiny.gear({"doctor"});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  for (const std::string text :
       {"LibTorch 2.", "in this build: ", "CPU: ", "avx512_bf16",
        "Memory: ", "Disk: ", "Fonts for gear data emoji: ", "What this means"}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
  for (const std::string pattern :
       {"matrix product fp32 +[1-9][0-9]* GFLOP/s", "matrix product bf16 +[0-9]+ GFLOP/s",
        "memory, by copying +[0-9.]+ GB/s"}) {
    EXPECT_THAT(outcome.out, ::testing::ContainsRegex(pattern));
  }
}

TEST(Help, OfEveryCommandEndsWithAnExample) {
  const TinySetup tiny;
  const std::vector<std::vector<std::string>> commands = {
      {"train"},         {"sample"},  {"eval"},   {"data"},  {"data", "emoji"},
      {"data", "check"}, {"inspect"}, {"report"}, {"doctor"}};
  for (std::vector<std::string> words : commands) {
    const std::string command = join(words, " ");
    words.emplace_back("--help");
    const Outcome outcome = tiny.gear(words);
    EXPECT_EQ(outcome.exit_code, exit_code::kSuccess);
    EXPECT_THAT(outcome.out, HasSubstr("Example: gear " + command)) << command;
  }
}

TEST(Help, PrintConfigWithoutAFileShowsTheDefaults) {
  const TinySetup tiny;
  const Outcome outcome = tiny.gear({"train", "--print-config"});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out,
              HasSubstr("# Optimizer updates in total. [1 to 1000000000]\nsteps: 400000\n"));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"train"}, {"train", "--print-config", "--set", "ar.depth=3"}}) {
    const Outcome refused = tiny.gear(arguments);
    EXPECT_EQ(refused.exit_code, exit_code::kUserError);
    EXPECT_THAT(refused.err, HasSubstr("config is required"));
  }
}

}  // namespace
}  // namespace gear::cli::testing
