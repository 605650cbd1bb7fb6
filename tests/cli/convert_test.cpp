// gear convert: run folders, safetensors and training files of the Python reference into each
// other.

#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/family_runs.h"
#include "cli/same_run.h"
#include "cli/tiny_setup.h"
#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"
#include "gear/io/torch_writer.h"
#include "gear/io/weights.h"
#include "models/families.h"
#include "project_folders.h"

namespace gear::cli::testing {
namespace {

using io::TorchValue;
using models::Family;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kStepOne = "step-00000001";

Outcome convert(const TinySetup& tiny, const fs::path& source, const fs::path& target,
                const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"convert", source.string(), target.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return tiny.gear(arguments);
}

void expect_converted(const Outcome& outcome) {
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\nwrote "));
}

fs::path checkpoint_of(const fs::path& run) { return run / "checkpoints" / kStepOne; }

/// The entries of `sums` for networks, without optimizers.
std::map<std::string, std::string> networks_of(std::map<std::string, std::string> sums) {
  std::erase_if(sums, [](const auto& entry) { return entry.first.starts_with("optimizer"); });
  return sums;
}

std::map<std::string, at::Tensor> tensors_in(const fs::path& file) {
  const io::TorchArchive archive(file);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : io::collect_tensors(archive.root())) {
    tensors[name] = tensor->values();
  }
  return tensors;
}

/// The top level of a torch file with one of its maps of tensors changed.
template <class Change>
void rewrite(const fs::path& from, const fs::path& to, const std::string& section, Change change) {
  io::TensorMap tensors = io::load_tensors(from, io::section(section));
  change(tensors);
  TorchValue::Dict map, root;
  for (const auto& [name, tensor] : tensors) map.set(name, tensor);
  root.set(section, map);
  io::write_torch(to, root);
}

class Convert : public ::testing::TestWithParam<Family> {
 protected:
  void SetUp() override { train_family(tiny_, GetParam()); }
  fs::path path(const std::string& name) const { return tiny_.root() / name; }

  TinySetup tiny_;
};
INSTANTIATE_TEST_SUITE_P(Families, Convert, ::testing::ValuesIn(models::families()),
                         models::family_name);

TEST_P(Convert, RunFolderToPtAndBack) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  expect_converted(convert(tiny_, path("x.pt"), path("back")));
  const auto sums = weight_sums(checkpoint_of(tiny_.run()));
  EXPECT_GE(sums.size(), 5U);
  EXPECT_EQ(weight_sums(checkpoint_of(path("back"))), sums);
}

TEST_P(Convert, PtToRunFolderAndBack) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  expect_converted(convert(tiny_, path("x.pt"), path("back")));
  expect_converted(convert(tiny_, path("back"), path("y.pt")));
  const auto before = tensors_in(path("x.pt")), after = tensors_in(path("y.pt"));
  ASSERT_EQ(after.size(), before.size());
  EXPECT_TRUE(before.contains("vq_ema/encoder.conv_in.weight"));
  EXPECT_TRUE(before.contains("opt_vq/state/0/exp_avg"));
  for (const auto& [name, tensor] : before) {
    EXPECT_TRUE(at::equal(after.at(name), tensor)) << name;
  }
}

TEST_P(Convert, RunFolderToSafetensorsAndBack) {
  expect_converted(convert(tiny_, tiny_.run(), path("model"), {"--to", "safetensors"}));
  expect_converted(convert(tiny_, path("model"), path("back")));
  EXPECT_EQ(weight_sums(checkpoint_of(path("back"))),
            networks_of(weight_sums(checkpoint_of(tiny_.run()))));
}

TEST_P(Convert, AveragedTokenizerToSafetensorsToPt) {
  expect_converted(convert(tiny_, tiny_.run(), path("a.safetensors"), {"--part", "tokenizer_ema"}));
  expect_converted(convert(tiny_, path("a.safetensors"), path("a.pt")));
  const auto average = io::load_tensors(checkpoint_of(tiny_.run()) / "tokenizer_ema.safetensors");
  const auto found = tensors_in(path("a.pt"));
  ASSERT_EQ(found.size(), average.size());
  for (const auto& [name, tensor] : average) {
    EXPECT_TRUE(at::equal(found.at("vq_ema/" + name), tensor)) << name;
  }
}

TEST_P(Convert, AMissingTensorIsAnErrorThatNamesIt) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  rewrite(path("x.pt"), path("y.pt"), "vq",
          [](io::TensorMap& tensors) { tensors.erase("decoder.conv_out.bias"); });
  const auto config = (tiny_.run() / "config.yaml").string();
  expect_user_error(convert(tiny_, path("y.pt"), path("z"), {"--config", config}),
                    path("y.pt").string() +
                        ": tokenizer lacks 1 of its tensors (decoder.conv_out.bias); it is of "
                        "another model, or of another configuration: give the one that fits with "
                        "--config");
  EXPECT_FALSE(fs::exists(path("z")));
}

TEST_P(Convert, ATensorWithoutPlaceIsListed) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  rewrite(path("x.pt"), path("y.pt"), "vq",
          [](io::TensorMap& tensors) { tensors["quantize.codebook_used"] = at::zeros({8}); });
  const auto config = (tiny_.run() / "config.yaml").string();
  const Outcome outcome = convert(tiny_, path("y.pt"), path("z"), {"--config", config});
  expect_converted(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("\n  tokenizer: ignored 1 tensor: quantize.codebook_used\n"));
  EXPECT_THAT(
      outcome.out,
      HasSubstr("\n  tokenizer_ema: a copy of tokenizer, the source has none of its own\n"));
}

/// A joint run of the default family after one step.
class ConvertRun : public ::testing::Test {
 protected:
  void SetUp() override { train_family(tiny_, models::families()[0]); }
  fs::path path(const std::string& name) const { return tiny_.root() / name; }
  std::string config() const { return (tiny_.run() / "config.yaml").string(); }

  TinySetup tiny_;
};

TEST_F(ConvertRun, ConvertedRunSamplesTheSamePictures) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  expect_converted(convert(tiny_, path("x.pt"), path("back")));
  for (const std::string run : {"run", "back"}) {
    const Outcome outcome = tiny_.gear({"sample", path(run).string(), "--classes", "0,1",
                                        "--per-class", "2", "--out", path("of_" + run).string()});
    ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  }
  EXPECT_EQ(file_sums(path("of_back")), file_sums(path("of_run")));
}

TEST_F(ConvertRun, ConvertedRunTrainsOnToTheSameEnd) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  expect_converted(convert(tiny_, path("x.pt"), path("back")));
  const std::vector<std::string> settings = {"tokenizer.quantizer.codebook_size=24",
                                             "optimizer.warmup_steps=0"};
  auto here = settings;
  here.emplace_back("run_dir=" + path("back").string());
  ASSERT_EQ(tiny_.train(settings).exit_code, exit_code::kSuccess);
  const Outcome outcome = tiny_.train(here);
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("going on from "));
  EXPECT_EQ(weight_sums(path("back") / "checkpoints" / "step-00000003"),
            weight_sums(tiny_.run() / "checkpoints" / "step-00000003"));
}

TEST_F(ConvertRun, StagesStartFromAConvertedFileAsFromTheRun) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  for (const std::string source : {"run", "x.pt"}) {
    const Outcome outcome = tiny_.train(
        {"recipe=ar", "steps=1", "tokenizer.quantizer.codebook_size=24",
         "init.from=" + path(source).string(), "run_dir=" + path("ar_" + source).string()});
    ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  }
  EXPECT_EQ(weight_sums(checkpoint_of(path("ar_x.pt"))),
            weight_sums(checkpoint_of(path("ar_run"))));
}

TEST_F(ConvertRun, CheckpointFoldersAreSourcesToo) {
  expect_converted(convert(tiny_, checkpoint_of(tiny_.run()), path("x.pt")));
  EXPECT_TRUE(tensors_in(path("x.pt")).contains("ema/norm.weight"));
}

TEST_F(ConvertRun, PartsOfATrainingFileCanBeTakenAlone) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt"),
                           {"--part", "tokenizer", "--part", "tokenizer_ema"}));
  std::set<std::string> sections;
  for (const auto& [name, tensor] : tensors_in(path("x.pt"))) {
    sections.insert(name.substr(0, name.find('/')));
  }
  EXPECT_THAT(sections, ElementsAre("vq", "vq_ema"));
  const Outcome outcome = convert(tiny_, path("x.pt"), path("ar.safetensors"), {"--part", "ar"});
  expect_user_error(outcome, "--part ar: " + path("x.pt").string() +
                                 " has no such part; it has tokenizer, tokenizer_ema");
}

TEST_F(ConvertRun, SafetensorsCanBeDivided) {
  expect_converted(convert(tiny_, tiny_.run(), path("model"),
                           {"--to", "safetensors", "--part", "ar", "--max-shard-size", "20KB"}));
  EXPECT_TRUE(fs::exists(path("model") / "model.safetensors.index.json"));
  EXPECT_GT(names_in(path("model")).size(), 2U);
  expect_converted(convert(tiny_, path("model"), path("ar.safetensors")));
  const auto expected = io::load_tensors(checkpoint_of(tiny_.run()) / "ar.safetensors");
  const auto found = io::load_tensors(path("ar.safetensors"));
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected)
    EXPECT_TRUE(at::equal(found.at(name), tensor)) << name;
}

TEST_F(ConvertRun, AFolderOfNetworksIsLookedIntoAndComparedLikeTheRun) {
  const std::string model = path("model").string();
  expect_converted(convert(tiny_, tiny_.run(), model, {"--to", "safetensors"}));
  const Outcome outcome = tiny_.gear({"inspect", model});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("kind: several networks, a folder for each"));
  for (const std::string part : {"tokenizer", "tokenizer_ema", "ar", "ar_ema", "projector"}) {
    const std::string in_run = tiny_.run().string() + "#" + part;
    const Outcome same = tiny_.gear({"inspect", "--diff", in_run, model + "#" + part});
    EXPECT_EQ(same.exit_code, exit_code::kSuccess) << part << same.out << same.err;
  }
  // Each key names the folder that it can be set to.
  EXPECT_THAT(outcome.out, HasSubstr("init.tokenizer: " + model + "/tokenizer_ema\n"));
  const Outcome init = tiny_.train({"recipe=tokenizer", "tokenizer.quantizer.codebook_size=24",
                                    "run_dir=" + path("again").string(),
                                    "init.tokenizer=" + model + "/tokenizer_ema"});
  EXPECT_EQ(init.exit_code, exit_code::kSuccess) << init.err;
}

TEST_F(ConvertRun, NamesAreThoseOfEveryNetworkUnderTheReferencesKeys) {
  const Outcome outcome = tiny_.gear({"convert", tiny_.run().string(), "--names"});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  const auto& networks = json.at("networks");
  EXPECT_EQ(networks.size(), 6U);
  EXPECT_EQ(networks["vq"]["quantize.embedding.weight"],
            (nlohmann::json{{"shape", {24, 4}}, {"dtype", "float32"}}));
  EXPECT_EQ(networks["discriminator"]["main.3.num_batches_tracked"],
            (nlohmann::json{{"shape", nlohmann::json::array()}, {"dtype", "int64"}}));
  EXPECT_TRUE(networks["projectors"].contains("projs.0.4.bias"));
  EXPECT_EQ(json.at("optimizers").at("opt_ar")[0], (nlohmann::json{3, 32}));
}

TEST_F(ConvertRun, AnotherFamilyIsRefusedWithTheNamesItLacks) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt"), {"--part", "tokenizer"}));
  std::vector<std::string> lfq;
  for (const std::string& setting : settings_of(models::families()[2].config.quantizer)) {
    lfq.insert(lfq.end(), {"--set", setting});
  }
  const Outcome outcome = convert(tiny_, path("x.pt"), path("z"), lfq);
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("x.pt: tokenizer lacks "));
  EXPECT_FALSE(fs::exists(path("z")));
}

TEST_F(ConvertRun, AnotherShapeIsRefusedWithBothShapes) {
  expect_user_error(
      convert(tiny_, tiny_.run(), path("x.pt"), {"--set", "ar.dim=64", "--part", "ar"}),
      tiny_.run().string() +
          ": ar: cls_embedding.embedding_table.weight: expected [3, 64], got [3, 32]; it is of another "
          "model, or of another configuration: give the one that fits with --config");
  EXPECT_FALSE(fs::exists(path("x.pt")));
}

TEST_F(ConvertRun, HalfPrecisionIsConvertedAndSaidSo) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  rewrite(path("x.pt"), path("y.pt"), "ema", [](io::TensorMap& tensors) {
    tensors["norm.weight"] = tensors["norm.weight"].to(at::kBFloat16);
  });
  const Outcome outcome =
      convert(tiny_, path("y.pt"), path("y.safetensors"), {"--config", config()});
  expect_converted(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("ar_ema: converted 1 tensor: norm.weight: BFloat16 to Float"));
}

TEST_F(ConvertRun, WeightsThatDoNotTellTheirArchitectureNeedAConfiguration) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  rewrite(path("x.pt"), path("y.pt"), "ema", [](io::TensorMap&) {});
  expect_user_error(convert(tiny_, path("y.pt"), path("z")),
                    path("y.pt").string() +
                        ": does not tell the architecture of its networks; give a configuration "
                        "that has it with --config FILE.yaml, for example "
                        "configs/imagenet256/stage0_vq16.yaml");
  expect_converted(convert(tiny_, path("y.pt"), path("z"), {"--config", config()}));
}

TEST_F(ConvertRun, StageTwoFilesGetTheirTokenizerFromAnother) {
  expect_converted(convert(tiny_, tiny_.run(), path("stage1.pt")));
  expect_converted(convert(tiny_, tiny_.run(), path("stage2.pt"),
                           {"--part", "ar", "--part", "ar_ema", "--part", "projector"}));
  expect_converted(convert(tiny_, path("stage2.pt"), path("whole"),
                           {"--tokenizer", path("stage1.pt").string()}));
  const auto tokenizer = io::load_tensors(checkpoint_of(path("whole")) / "tokenizer.safetensors");
  for (const auto& [name, tensor] :
       io::load_tensors(checkpoint_of(tiny_.run()) / "tokenizer_ema.safetensors")) {
    EXPECT_TRUE(at::equal(tokenizer.at(name), tensor)) << name;
  }
  const Outcome sampled = tiny_.gear(
      {"sample", path("whole").string(), "--per-class", "1", "--out", path("samples").string()});
  EXPECT_EQ(sampled.exit_code, exit_code::kSuccess) << sampled.err;
}

TEST_F(ConvertRun, LightningFilesGiveTheirAverageAndListWhatIsLeftOut) {
  TorchValue::Dict state, root;
  for (const auto& [name, tensor] :
       io::load_tensors(checkpoint_of(tiny_.run()) / "tokenizer.safetensors")) {
    std::string shadow = name;
    std::erase(shadow, '.');
    state.set(name, tensor);
    state.set("model_ema." + shadow, tensor + 1);
  }
  state.set("model_ema.decay", at::zeros({}));
  state.set("loss.discriminator.main.0.weight", at::zeros({2}));
  root.set("state_dict", state);
  io::write_torch(path("x.ckpt"), root);
  const Outcome outcome = convert(tiny_, path("x.ckpt"), path("x.pt"), {"--config", config()});
  expect_converted(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("of no network: ignored 2 tensors: model_ema.decay, "
                                     "loss.discriminator.main.0.weight\n"));
  EXPECT_TRUE(at::equal(tensors_in(path("x.pt")).at("vq/quant_conv.bias"),
                        io::load_tensors(path("x.ckpt")).at("quant_conv.bias")));
}

TEST_F(ConvertRun, ARunWithLecamGetsItsAveragesFromZero) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt")));
  const Outcome outcome = convert(tiny_, path("x.pt"), path("back"), {"--set", "loss.lecam=0.01"});
  expect_converted(outcome);
  EXPECT_THAT(outcome.out, HasSubstr("lecam: averages begin at 0, the source has none"));
  const Outcome trained = tiny_.train({"tokenizer.quantizer.codebook_size=24", "loss.lecam=0.01",
                                       "steps=2", "run_dir=" + path("back").string()});
  EXPECT_EQ(trained.exit_code, exit_code::kSuccess) << trained.err;
  const Outcome again = convert(tiny_, path("back"), path("y.pt"));
  EXPECT_THAT(again.out, HasSubstr("lecam: not written, a training file of the reference has no "
                                   "place for it"));
}

TEST_F(ConvertRun, AFileWhoseFlagsNameAnotherNetworkSaysWhatItLacks) {
  // Its args name VQ-16; only small tensors of a small network were kept.
  const std::string golden = GEAR_SOURCE_DIR "/tests/golden/checkpoints/good/stage0.pt";
  const Outcome outcome = tiny_.gear({"convert", golden, path("x").string()});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(), HasSubstr(golden + ": discriminator lacks "));
  EXPECT_FALSE(fs::exists(path("x")));
}

TEST_F(ConvertRun, StepsThatNoRunHasAreRefused) {
  expect_converted(convert(tiny_, tiny_.run(), path("x.pt"), {"--part", "ar"}));
  TorchValue::Dict map, root;
  for (const auto& [name, tensor] : io::load_tensors(path("x.pt"), io::section("ar"))) {
    map.set(name, tensor);
  }
  root.set("ar", map);
  root.set("steps", -3);
  io::write_torch(path("y.pt"), root);
  expect_user_error(
      convert(tiny_, path("y.pt"), path("y"), {"--config", config()}),
      path("y.pt").string() + ": says that -3 steps were done, expected from 0 to 1000000000");
}

TEST_F(ConvertRun, ExistingTargetsAreKeptWithoutForce) {
  for (const std::string target : {"x.pt", "x.safetensors", "x"}) {
    const std::vector<std::string> part = {"--part", "ar_ema"};
    expect_converted(convert(tiny_, tiny_.run(), path(target), part));
    expect_user_error(convert(tiny_, tiny_.run(), path(target), part),
                      path(target).string() + ": already exists; --force replaces it");
    expect_converted(convert(tiny_, tiny_.run(), path(target), {"--part", "ar_ema", "--force"}));
  }
}

TEST_F(ConvertRun, AFolderWithOtherFilesIsNeverReplaced) {
  io::write_bytes(path("precious.txt"), "x");
  expect_user_error(convert(tiny_, tiny_.run(), tiny_.root(), {"--to", "run", "--force"}),
                    tiny_.root().string() + ": the folder holds other files; choose another name");
}

TEST_F(ConvertRun, TargetsThatCannotBeWrittenAreNamedAndLeaveNothing) {
  const Outcome outcome = convert(tiny_, tiny_.run(), "/proc/none/x.pt");
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("/proc/none"));
  const Outcome full =
      run_gear(tiny_.root(), {"convert", tiny_.run().string(), path("x.pt").string()},
               {.file_bytes = 20000});
  EXPECT_EQ(full.exit_code, exit_code::kUserError);
  EXPECT_THAT(full.last_error_line(), HasSubstr("File too large"));
  EXPECT_FALSE(fs::exists(path("x.pt")));
  EXPECT_EQ(partial_files(tiny_.root()), std::vector<std::string>());
}

TEST_F(ConvertRun, ASingleFileOfSafetensorsHoldsOneNetwork) {
  const Outcome outcome = convert(tiny_, tiny_.run(), path("x.safetensors"));
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("a safetensors file holds one network"));
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("choose one with --part"));
}

TEST_F(ConvertRun, TargetsWhoseNameTellsNoFormatAreRefused) {
  expect_user_error(convert(tiny_, tiny_.run(), path("x.onnx")),
                    path("x.onnx").string() +
                        ": ends in .onnx, which tells no format; name a .safetensors or .pt file "
                        "or a folder, or give --to");
}

}  // namespace
}  // namespace gear::cli::testing
