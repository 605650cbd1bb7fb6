// Mistakes in the configuration: each is told in one sentence before anything is written.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tiny_setup.h"

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

TEST(BadConfig, UnknownKeyOfAnOverrideNamesTheNearestKey) {
  expect_refused({"ar.hedas=2"}, "--set ar.hedas: unknown key; did you mean heads?");
}

TEST(BadConfig, UnknownKeyWithoutASimilarOneListsTheKnownOnes) {
  expect_refused({"tokenizer.quantizer.beam=2"},
                 "--set tokenizer.quantizer.beam: unknown key; known here: kind, codebook_size, "
                 "codebook_dim, l2_norm, commit_weight, entropy_ratio, entropy_temperature");
}

TEST(BadConfig, ValueOfAnotherTypeSaysWhatWasExpected) {
  expect_refused({"ar.depth=deep"}, "--set ar.depth: expected an integer, got deep");
  expect_refused({"ar.depth=2.5"}, "--set ar.depth: expected an integer, got 2.5");
  expect_refused({"data.random_flip=yes"}, "--set data.random_flip: expected true or false, got yes");
  expect_refused({"optimizer.ar_lr=[1]"}, "--set optimizer.ar_lr: expected a number, got a list");
  expect_refused({"tokenizer.ch_mult=1"},
                 "--set tokenizer.ch_mult: expected a list such as [1, 2], got 1");
}

TEST(BadConfig, NumberOutOfRangeSaysTheRange) {
  expect_refused({"ar.depth=0"}, "--set ar.depth: must be at least 1, got 0");
  expect_refused({"tokenizer.ch=33"}, "--set tokenizer.ch: must be a multiple of 32, got 33");
  expect_refused({"data.max_bad_share=1.5"},
                 "--set data.max_bad_share: must be from 0 to 1, got 1.5");
  expect_refused({"loss.temperature=0"}, "--set loss.temperature: must be greater than 0, got 0");
}

TEST(BadConfig, UnknownChoiceListsTheChoices) {
  expect_refused({"recipe=geer"},
                 "--set recipe: must be one of tokenizer, gear, ar, got geer; did you mean gear?");
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

TEST(BadConfig, OverrideWithoutAValueShowsTheForm) {
  expect_refused({"ar.depth"},
                 "--set ar.depth: expected key=value, for example --set ar.depth=12");
}

TEST(BadConfig, MissingFileIsNamed) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "none.yaml").string();
  expect_user_error(tiny.gear({"train", path}), path + ": no such configuration file");
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
  const Outcome outcome = tiny.train({"data.batch_size=1000000000"});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.err,
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
