// gear inspect and gear doctor: what they tell about files and machines.

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/tiny_setup.h"
#include "gear/core/text.h"
#include "gear/io/safetensors.h"
#include "io/memory_limit.h"
#include "io/pickle_builder.h"

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
        "PatchGAN discriminator: base width 8, 2 layers", "Adam moments of",
        "in checkpoint format 2, 1 rank, from 12 images"}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
  EXPECT_THAT(outcome.out, Not(HasSubstr("unknown network")));
}

/// Whether nothing in `text` but line ends would move a terminal.
bool is_plain(const std::string& text) {
  const auto is_control = [](unsigned char byte) {
    return (byte < 0x20 && byte != '\n') || byte == 0x7f;
  };
  return std::none_of(text.begin(), text.end(), is_control) &&
         text.find("\xc2\x9b") == std::string::npos;
}

TEST(Inspect, NamesInAFileFromAnybodyCannotDriveTheTerminal) {
  const TinySetup tiny;
  const std::string name = "a\x1b[2J\xc2\x9b\nerror: b";
  const std::string path = (tiny.root() / "x.safetensors").string();
  const std::string other = (tiny.root() / "y.safetensors").string();
  const std::string cut = (tiny.root() / "cut.safetensors").string();
  io::write_safetensors(path, {{name, at::zeros({2})}}, {{"made by\r", "\x1b]0;title\a"}});
  io::write_safetensors(other, {{"b", at::zeros({2})}});
  const std::string bytes = io::read_bytes(path);
  io::write_bytes(cut, bytes.substr(0, bytes.size() - 1));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"inspect", path, "--tensors"},
        {"inspect", path, "--json", "--tensors"},
        {"inspect", "--diff", path, other},
        {"inspect", cut}}) {
    const Outcome outcome = tiny.gear(arguments);
    const std::string said = outcome.out + outcome.err;
    EXPECT_TRUE(is_plain(said)) << said;
    EXPECT_THAT(said, HasSubstr("a\\u001b[2J\\u009b\\nerror: b"));
  }
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

TEST(Inspect, CountsValuesThatAreNoNumbersAndNamesTheirTensors) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "bad.safetensors").string();
  auto half = at::zeros({3, 4}, at::kHalf);
  half[1][2] = std::nan("");
  half[2][0] = -INFINITY;
  auto eight = at::zeros({5}, at::kFloat);
  eight[4] = std::nan("");
  auto brain = at::zeros({4}, at::kBFloat16);
  brain[3] = INFINITY;
  auto twice = at::zeros({2}, at::kDouble);
  twice[0] = std::nan("");
  io::write_safetensors(path, {{"brain", brain},
                               {"twice", twice},
                               {"half", half},
                               {"eight", eight.to(at::kFloat8_e4m3fn)},
                               {"huge", at::full({7}, 3e38F)},
                               {"whole", at::ones({2}, at::kLong)}});
  const Outcome outcome = tiny.gear({"inspect", path});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("  half: 1 NaN and 1 infinite of 12 values\n"));
  EXPECT_THAT(outcome.out, HasSubstr("  brain: 0 NaN and 1 infinite of 4 values\n"));
  EXPECT_THAT(outcome.out, HasSubstr("  twice: 1 NaN and 0 infinite of 2 values\n"));
  EXPECT_THAT(outcome.out, HasSubstr("  eight: 1 NaN and 0 infinite of 5 values\n"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("huge: ")));
  const auto json = nlohmann::json::parse(tiny.gear({"inspect", path, "--json"}).out);
  EXPECT_EQ(json["parts"][0]["nan"], 3);
  EXPECT_EQ(json["parts"][0]["inf"], 2);
  const Outcome unread = tiny.gear({"inspect", path, "--no-values"});
  EXPECT_THAT(unread.out, HasSubstr("values were not read (--no-values)"));
  EXPECT_THAT(unread.out, Not(HasSubstr("infinite of")));
}

TEST(Inspect, TellsProvenanceAndChecksumOfAFile) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "x.pt").string();
  const std::string args = io::pickled::dict({{"vq_model", io::pickled::text("VQ-16")}});
  io::write_bytes(
      path, io::torch_zip(io::pickled::dict(
                {{"vq", io::pickled::dict({{"w", io::pickled::tensor(io::pickled::storage("0", 10),
                                                                     {10}, {1})}})},
                 {"args", args},
                 {"notes", io::pickled::text("two\nlines")},
                 {"steps", io::pickled::integer(500)}})));
  const std::string out = tiny.gear({"inspect", path, "--hash"}).out;
  EXPECT_THAT(out, HasSubstr("  kind: training file of the reference, stage 0 (vq), step 500\n"));
  EXPECT_THAT(out, HasSubstr("bytes, SHA-256 " + io::sha256_of_file(path) + "\n"));
  EXPECT_THAT(out, HasSubstr("  format version: 3\n"));
  EXPECT_THAT(out, HasSubstr("  notes: two\\nlines\n"));
  EXPECT_THAT(out, HasSubstr("  args: 1 entries, --verbose lists them\n"));
  EXPECT_THAT(tiny.gear({"inspect", path, "--verbose"}).out, HasSubstr("  args.vq_model: VQ-16\n"));
  const auto json = nlohmann::json::parse(tiny.gear({"inspect", path, "--json", "--hash"}).out);
  EXPECT_EQ(json["files"][0]["sha256"], io::sha256_of_file(path));
  EXPECT_EQ(json["settings"]["args"]["vq_model"], "VQ-16");
  EXPECT_EQ(json["facts"]["steps"], "500");
}

TEST(Inspect, PartShowsOneOfSeveral) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "x.pt").string();
  const std::string ten = io::pickled::tensor(io::pickled::storage("0", 10), {10}, {1});
  io::write_bytes(
      path, io::torch_zip(io::pickled::dict({{"vq", io::pickled::dict({{"live", ten}})},
                                             {"vq_ema", io::pickled::dict({{"average", ten}})}})));
  const Outcome outcome = tiny.gear({"inspect", path, "--part", "vq_ema"});
  EXPECT_THAT(outcome.out, HasSubstr("vq_ema/average"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("vq/live")));
  expect_user_error(tiny.gear({"inspect", path, "--part", "ar"}),
                    "--part ar: " + path + " has no such part; it has vq, vq_ema");
}

TEST(Inspect, RunAndCheckpointAsJson) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  const auto run = nlohmann::json::parse(tiny.gear({"inspect", tiny.run().string(), "--json"}).out);
  EXPECT_EQ(run["kind"], "gear run");
  EXPECT_EQ(run["newest"]["kind"], "gear checkpoint");
  EXPECT_EQ(run["newest"]["manifest"]["step"], 1);
  EXPECT_EQ(run["newest"]["parts"][0]["nan"], 0);
  EXPECT_EQ(run["metrics"]["step"], 1);
}

TEST(Inspect, HoldsNoMoreThanATensorOfAFileInMemory) {
  if (!io::kMemoryCanBeLimited) GTEST_SKIP() << io::kMemoryCannotBeLimited;
  // A sparse file of six tensors of 512 MiB. The program may map it and beside it take less than a
  // third of its size, LibTorch's own 1 GB included.
  const TinySetup tiny;
  const fs::path path = tiny.root() / "large.safetensors";
  constexpr int64_t kTensorBytes = int64_t{512} << 20;
  constexpr int kTensors = 6;
  nlohmann::ordered_json header;
  for (int i = 0; i < kTensors; ++i) {
    header["t" + std::to_string(i)] = {
        {"dtype", "F32"},
        {"shape", {kTensorBytes / 4}},
        {"data_offsets", {i * kTensorBytes, (i + 1) * kTensorBytes}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string bytes;
  io::append_number(bytes, text.size(), 8);
  io::write_bytes(path, bytes + text);
  fs::resize_file(path, bytes.size() + text.size() + kTensors * kTensorBytes);
  const Outcome outcome = run_gear(tiny.root(), {"inspect", path.string(), "--json"},
                                   {.memory_bytes = (uint64_t{3} << 30) + (uint64_t{2} << 30)});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\"nan\": 0"));
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
        "memory traffic +[0-9.]+ GB/s"}) {
    EXPECT_THAT(outcome.out, ::testing::ContainsRegex(pattern));
  }
}

TEST(Help, OfEveryCommandEndsWithAnExample) {
  const TinySetup tiny;
  const std::vector<std::vector<std::string>> commands = {
      {"train"},         {"sample"},  {"eval"},    {"data"},   {"data", "emoji"},
      {"data", "check"}, {"inspect"}, {"convert"}, {"report"}, {"doctor"}};
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
