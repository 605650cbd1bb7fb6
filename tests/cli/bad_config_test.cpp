// Mistakes in the configuration: each is told in one sentence before anything is written.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <concepts>
#include <limits>

#include "cli/tiny_setup.h"
#include "gear/train/run_config.h"

namespace gear::cli::testing {
namespace {

/// Trains with `overrides`, which must be refused with `message` before a run folder exists.
void expect_refused(const std::vector<std::string>& overrides, const std::string& message) {
  const TinySetup tiny;
  const Outcome outcome = tiny.train(overrides);
  expect_user_error(outcome, message);
  EXPECT_EQ(outcome.err, "error: " + message + "\n") << "one sentence and nothing else";
  EXPECT_EQ(outcome.out, "");
  EXPECT_FALSE(fs::exists(tiny.run()));
}

TEST(BadConfig, UnknownKeyInTheFileNamesFileLineAndTheNearestKey) {
  const TinySetup tiny;
  const std::string config = (tiny.root() / "typo.yaml").string();
  io::write_bytes(config, "extends: tiny.yaml\n\nar:\n  dpeth: 3\n");
  expect_user_error(tiny.gear({"train", config}),
                    config + ":4: ar.dpeth: unknown key; did you mean depth?");
  EXPECT_FALSE(fs::exists(tiny.run()));
}

TEST(BadConfig, UnknownKeyIsToldBeforeTheKeyThatIsMissingForIt) {
  const TinySetup tiny;
  const std::string config = (tiny.root() / "typo.yaml").string();
  io::write_bytes(config, "run_dir: run\ndata: {pth: pictures}\n");
  expect_user_error(tiny.gear({"train", config}),
                    config + ":2: data.pth: unknown key; did you mean path?");
}

TEST(BadConfig, UnknownKeyOfAnOverrideNamesTheNearestKey) {
  expect_refused({"ar.hedas=2"}, "--set ar.hedas: unknown key; did you mean heads?");
}

TEST(BadConfig, UnknownKeyWithoutASimilarOneListsTheKnownOnes) {
  expect_refused({"tokenizer.quantizer.beam=2"},
                 "--set tokenizer.quantizer.beam: unknown key; known here: kind, codebook_size, "
                 "codebook_dim, groups, levels, l2_norm, cosine, commit_weight, entropy_ratio, "
                 "entropy_temperature");
}

TEST(BadConfig, ValueOfAnotherTypeSaysWhatWasExpected) {
  expect_refused({"ar.depth=deep"}, "--set ar.depth: expected an integer, got deep");
  expect_refused({"ar.depth=2.5"}, "--set ar.depth: expected an integer, got 2.5");
  expect_refused({"data.random_flip=yes"},
                 "--set data.random_flip: expected true or false, got yes");
  expect_refused({"optimizer.ar_lr=[1]"}, "--set optimizer.ar_lr: expected a number, got a list");
  expect_refused({"tokenizer.ch_mult=1"},
                 "--set tokenizer.ch_mult: expected a list such as [1, 2], got 1");
}

TEST(BadConfig, NumberOutOfRangeSaysTheRange) {
  expect_refused({"ar.depth=0"}, "--set ar.depth: must be from 1 to 1024, got 0");
  expect_refused({"tokenizer.ch=33"}, "--set tokenizer.ch: must be a multiple of 32, got 33");
  expect_refused({"data.max_bad_share=1.5"},
                 "--set data.max_bad_share: must be from 0 to 1, got 1.5");
  expect_refused({"loss.temperature=0"}, "--set loss.temperature: must be greater than 0, got 0");
  expect_refused({"data.workers=100000"}, "--set data.workers: must be from 1 to 1024, got 100000");
  expect_refused({"tokenizer.ch_mult=[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"},
                 "--set tokenizer.ch_mult: must have from 1 to 10 levels, got 11");
}

/// Collects the dotted names of the integers of a configuration.
class IntegerKeys {
 public:
  IntegerKeys(std::vector<std::string>* names, std::string prefix)
      : names_(names), prefix_(std::move(prefix)) {}

  template <class T, class... Rules>
  void operator()(const char* name, T& field, const char* /*help*/, const Rules&... /*rules*/) {
    if constexpr (std::same_as<T, int64_t>) names_->push_back(prefix_ + name);
    if constexpr (requires { field.fields(*this); }) {
      IntegerKeys inner(names_, prefix_ + name + ".");
      field.fields(inner);
    }
  }

 private:
  std::vector<std::string>* names_;
  std::string prefix_;
};

TEST(BadConfig, EveryIntegerButTheSeedHasAnUpperBound) {
  const TinySetup tiny;
  std::vector<std::string> names;
  IntegerKeys collect(&names, "");
  train::RunConfig defaults;
  defaults.fields(collect);
  EXPECT_GT(names.size(), 30U);
  for (const std::string& name : names) {
    if (name == "seed") continue;
    const int64_t most = std::numeric_limits<int64_t>::max();
    try {
      config::load<train::RunConfig>(tiny.config(), {name + "=" + std::to_string(most)});
      ADD_FAILURE() << name << " has none";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::StartsWith("--set " + name + ": must be "));
    }
  }
}

TEST(BadConfig, UnknownChoiceListsTheChoices) {
  expect_refused({"recipe=geer"},
                 "--set recipe: must be one of tokenizer, gear, ar, got geer; did you mean gear?");
  expect_refused(
      {"optimizer.schedule=cosin"},
      "--set optimizer.schedule: must be one of constant, cosine, got cosin; did you mean "
      "cosine?");
  expect_refused({"optimizer.on_nonfinite=ignore"},
                 "--set optimizer.on_nonfinite: must be one of stop, skip, rollback, got ignore");
}

TEST(BadConfig, RuleBetweenKeysNamesBoth) {
  expect_refused({"ar.heads=3"}, "--set ar.heads: must divide dim (32), got 3");
  expect_refused({"optimizer.accumulation=3"},
                 "--set optimizer.accumulation: must divide data.batch_size (4), got 3");
  expect_refused({"loss.tap=3"},
                 "--set loss.tap: must be a block of the transformer (1 to ar.depth = 2), got 3");
}

TEST(BadConfig, ImageSizeMustSuitTheDownsamplingOfTheTokenizer) {
  expect_refused({"data.image_size=17"},
                 "--set data.image_size: must be divisible by the downsampling factor 2 (2 to the "
                 "number of tokenizer.ch_mult levels but one), got 17");
}

TEST(BadConfig, ImagesMustSuitTheDiscriminator) {
  expect_refused({"discriminator.layers=3", "data.image_size=16"},
                 "--set data.image_size: must be at least 24 for discriminator.layers 3; raise it, "
                 "lower discriminator.layers, or set loss.gan to 0, got 16");
  const TinySetup tiny;  // the smallest that is let through can be trained on
  const Outcome smallest = tiny.train({"discriminator.layers=2", "data.image_size=12", "steps=1"});
  EXPECT_EQ(smallest.exit_code, exit_code::kSuccess) << smallest.err;
}

TEST(BadConfig, ImagesMustSuitThePerceptualLoss) {
  expect_refused({"loss.perceptual=1", "data.image_size=8"},
                 "--set data.image_size: must be at least 16 for the network of loss.perceptual; "
                 "raise it, or set loss.perceptual to 0, got 8");
}

TEST(BadConfig, GroupNormMustDivideTheWidthsOfTheDiscriminator) {
  expect_refused(
      {"discriminator.norm=group", "discriminator.ndf=20"},
      "--set discriminator.ndf: gives a layer of width 40, which group norm cannot divide "
      "into 32 groups; use a multiple of 16, or discriminator.norm: batch, got 20");
}

TEST(BadConfig, LecamNeedsTheDiscriminator) {
  expect_refused(
      {"loss.gan=0", "loss.lecam=0.1"},
      "--set loss.lecam: must be 0 when loss.gan is 0, which leaves out the discriminator "
      "it regularises, got 0.1");
}

TEST(BadConfig, HeldOutFolderMustBeThere) {
  expect_refused({"data.val_path=/none"},
                 "data.val_path: /none: no such file or folder; expected a folder with one "
                 "sub-folder of held-out pictures per class, or nothing");
}

TEST(BadConfig, MissingWeightFilesAreNamedWithTheirKey) {
  const std::string advice =
      ": /none.pth: no such file or folder; \"Pretrained weights\" in README.md tells where to get "
      "it, or leave the key empty for random weights";
  expect_refused({"teacher.weights=/none.pth"}, "teacher.weights" + advice);
  expect_refused({"loss.perceptual=1", "loss.lpips_vgg_weights=/none.pth"},
                 "loss.lpips_vgg_weights" + advice);
  expect_refused({"loss.perceptual=1", "loss.lpips_linear_weights=/none.pth"},
                 "loss.lpips_linear_weights" + advice);
}

TEST(BadConfig, MissingInitialWeightsAreNamedWithTheirKey) {
  const std::string advice =
      ": /none: no such file or folder; expected a run folder or checkpoint of an earlier stage, "
      "or a weight file";
  for (const std::string key :
       {"init.from", "init.tokenizer", "init.discriminator", "init.ar", "init.projector"}) {
    expect_refused({key + "=/none"}, key + advice);
  }
}

TEST(BadConfig, WeightFilesThatTheRecipeDoesNotUseNeedNotBeThere) {
  const TinySetup tiny;
  const Outcome outcome =
      tiny.train({"steps=1", "recipe=tokenizer", "loss.gan=0", "teacher.weights=/none.pth",
                  "loss.lpips_vgg_weights=/none.pth", "init.ar=/none", "init.discriminator=/none"});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
}

TEST(BadConfig, OverrideWithoutAValueShowsTheForm) {
  expect_refused({"ar.depth"}, "--set ar.depth: expected key=value, for example --set ar.depth=12");
}

TEST(BadConfig, MissingFileIsNamed) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "none.yaml").string();
  expect_user_error(tiny.gear({"train", path}), path + ": no such configuration file");
  const std::string top = (tiny.root() / "top.yaml").string();
  io::write_bytes(top, "seed: 1\nextends: none.yaml\n");
  expect_user_error(tiny.gear({"train", top}),
                    top + ":2: extends: " + path + ": no such configuration file");
}

TEST(BadConfig, FolderInPlaceOfTheFileIsCalledAFolder) {
  const TinySetup tiny;
  const std::string path = tiny.root().string();
  expect_user_error(tiny.gear({"train", path}), path + ": is a folder; name a .yaml file in it");
}

TEST(BadConfig, InvalidYamlNamesTheLine) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "broken.yaml").string();
  io::write_bytes(path, "seed: 1\nar: {dim: 3\n");
  const Outcome outcome = tiny.gear({"train", path});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.err, ::testing::StartsWith("error: " + path + ":"));
  EXPECT_THAT(outcome.err, ::testing::HasSubstr(": not valid YAML: "));
}

TEST(BadConfig, RunThatCannotFitInMemoryIsRefusedBeforeItStarts) {
  const TinySetup tiny;
  const Outcome outcome = tiny.train({"data.image_size=8192", "loss.repa=false"});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(
      outcome.err,
      ::testing::MatchesRegex(
          "error: this run needs about [0-9.]+ [KMGTP]?i?B \\([0-9.]+ [KMGTP]?i?B for weights "
          "and optimizers, [0-9.]+ [KMGTP]?i?B for a step\\), but [0-9.]+ [KMGTP]?i?B are "
          "free; raise optimizer.accumulation \\(now 1; [0-9.]+ [KMGTP]?i?B belong to one "
          "micro-batch\\), or lower data.batch_size\n"));
  EXPECT_FALSE(fs::exists(tiny.run()));
}

TEST(BadConfig, UnknownArgumentOfTheCommandLineIsNamed) {
  const TinySetup tiny;
  const Outcome outcome = tiny.gear({"train", tiny.config().string(), "--stpes", "3"});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.err, ::testing::HasSubstr("--stpes"));
}

}  // namespace
}  // namespace gear::cli::testing
