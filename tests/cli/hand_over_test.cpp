// From stage to stage: what the next one takes from the one before, and the way over indices.

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/same_run.h"
#include "gear/io/weights.h"

namespace gear::cli::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using Settings = std::vector<std::string>;

const std::string kLast = "checkpoints/step-00000003";

/// Trains a stage in `run`, which must succeed; returns what it said.
std::string train_stage(const TinySetup& tiny, const fs::path& run, Settings settings) {
  settings.push_back("run_dir=" + run.string());
  const Outcome outcome = tiny.train(settings);
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  return outcome.err;
}

io::TensorMap weights(const fs::path& run, const std::string& group) {
  return io::load_tensors(run / kLast / (group + ".safetensors"));
}

void expect_same_weights(const io::TensorMap& found, const io::TensorMap& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [name, value] : expected) EXPECT_TRUE(at::equal(found.at(name), value)) << name;
}

/// Stages 0 and 1 of a tiny run.
struct Stages {
  TinySetup tiny;
  fs::path tokenizer = tiny.root() / "stage-0";
  fs::path joint = tiny.root() / "stage-1";

  Stages() {
    train_stage(tiny, tokenizer, {"recipe=tokenizer"});
    train_stage(tiny, joint, {"recipe=gear", "init.from=" + tokenizer.string()});
  }
  /// Encodes the pictures with the tokenizer of `from`.
  Outcome encode(const fs::path& from, const fs::path& out, const Settings& more = {}) const {
    std::vector<std::string> arguments = {
        "encode", from.string(), "--data",    tiny.data().string(),
        "--out",  out.string(),  "--threads", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return tiny.gear(arguments);
  }
};

TEST(HandOver, StageTwoGoesOnFromBothNetworksOrFromTheTokenizerAlone) {
  const Stages stages;
  const auto said = [](const char* what, const fs::path& run, const char* group) {
    return HasSubstr(std::string("initial ") + what + ": " +
                     (run / kLast / (std::string(group) + ".safetensors")).string());
  };
  const fs::path both = stages.tiny.root() / "ar-init";
  const auto both_said =
      train_stage(stages.tiny, both, {"recipe=ar", "init.from=" + stages.joint.string()});
  EXPECT_THAT(both_said, said("tokenizer", stages.joint, "tokenizer_ema"));
  EXPECT_THAT(both_said, said("transformer", stages.joint, "ar_ema"));
  EXPECT_THAT(both_said, said("projector", stages.joint, "projector"));
  expect_same_weights(weights(both, "tokenizer"), weights(stages.joint, "tokenizer_ema"));

  const fs::path alone = stages.tiny.root() / "vq-only";
  const auto alone_said =
      train_stage(stages.tiny, alone, {"recipe=ar", "init.tokenizer=" + stages.joint.string()});
  EXPECT_THAT(alone_said, said("tokenizer", stages.joint, "tokenizer_ema"));
  EXPECT_THAT(alone_said, Not(HasSubstr("initial transformer")));
  expect_same_weights(weights(alone, "tokenizer"), weights(stages.joint, "tokenizer_ema"));
}

TEST(HandOver, TrainingOnIndicesRepeatsTrainingOnThePicturesTheyComeFrom) {
  const Stages stages;
  const fs::path indices = stages.tiny.root() / "indices";
  const Outcome encoded = stages.encode(stages.joint, indices, {"--shard-size", "5", "--flip"});
  ASSERT_EQ(encoded.exit_code, exit_code::kSuccess) << encoded.err;
  EXPECT_EQ(encoded.out, indices.string() + "\n");
  EXPECT_EQ(names_in(indices), (std::set<std::string>{"indices-00000-of-00003.safetensors",
                                                      "indices-00001-of-00003.safetensors",
                                                      "indices-00002-of-00003.safetensors"}));
  const Settings settings = {"recipe=ar",
                             "loss.repa=false",
                             "data.random_crop=false",
                             "init.tokenizer=" + stages.joint.string(),
                             "output.preview_every=3",
                             "output.preview_images=2",
                             "output.sample_top_k=0"};
  const fs::path pictures_run = stages.tiny.root() / "pictures";
  train_stage(stages.tiny, pictures_run, settings);
  Settings on_indices = settings;
  on_indices.push_back("data.indices=" + indices.string());
  const fs::path indices_run = stages.tiny.root() / "on-indices";
  const auto said = train_stage(stages.tiny, indices_run, on_indices);
  EXPECT_THAT(said, HasSubstr("data: 12 images in 2 classes, as the indices of their centre crops "
                              "in " +
                              indices.string()));
  EXPECT_EQ(timeless_metrics(indices_run), timeless_metrics(pictures_run));
  expect_same_weights(weights(indices_run, "ar"), weights(pictures_run, "ar"));
  EXPECT_TRUE(fs::exists(indices_run / "samples" / "step-00000003.png"));
}

TEST(HandOver, ARunOnIndicesStopsAndGoesOnBitForBit) {
  const Stages stages;
  const fs::path indices = stages.tiny.root() / "indices.safetensors";
  ASSERT_EQ(stages.encode(stages.joint, indices).exit_code, exit_code::kSuccess);
  const Settings settings = {"recipe=ar", "loss.repa=false", "init.from=" + stages.joint.string(),
                             "data.indices=" + indices.string()};
  const auto trained = [&](const fs::path& run, const std::string& steps) {
    Settings all = settings;
    all.push_back("steps=" + steps);
    train_stage(stages.tiny, run, all);
  };
  const fs::path whole = stages.tiny.root() / "whole", parts = stages.tiny.root() / "parts";
  trained(whole, "5");
  trained(parts, "2");
  trained(parts, "5");
  const std::string last = "checkpoints/step-00000005";
  EXPECT_EQ(weight_sums(parts / last), weight_sums(whole / last));
}

TEST(HandOver, WithoutATokenizerTheRunHasNoPreviewsAndSamplingAsksForOne) {
  const Stages stages;
  const fs::path indices = stages.tiny.root() / "indices.safetensors";
  ASSERT_EQ(stages.encode(stages.joint, indices).exit_code, exit_code::kSuccess);
  const fs::path run = stages.tiny.root() / "stage-2";
  const auto said = train_stage(stages.tiny, run,
                                {"recipe=ar", "loss.repa=false", "data.indices=" + indices.string(),
                                 "data.path=", "output.preview_every=1"});
  EXPECT_THAT(said, HasSubstr("no previews: drawing pictures needs the tokenizer that the indices "
                              "were made with; set init.tokenizer to it"));
  EXPECT_THAT(said, HasSubstr(indices.string() + ": has no mirrored pictures, so data.random_flip "
                                                 "does nothing; gear encode --flip stores them"));
  EXPECT_EQ(names_in(run / "samples"), std::set<std::string>());

  const fs::path out = stages.tiny.root() / "out";
  std::vector<std::string> sample = {"sample",    run.string(), "--per-class", "1",
                                     "--threads", "1",          "--out",       out.string()};
  expect_user_error(stages.tiny.gear(sample),
                    run.string() +
                        ": has no tokenizer, because the run learned stored indices; name the one "
                        "that encoded them with --tokenizer");
  EXPECT_FALSE(fs::exists(out));
  sample.insert(sample.end(), {"--tokenizer", stages.joint.string()});
  const Outcome sampled = stages.tiny.gear(sample);
  EXPECT_EQ(sampled.exit_code, exit_code::kSuccess) << sampled.err;
  EXPECT_TRUE(fs::exists(out / "grid.png"));
}

TEST(HandOver, IndicesOfAnotherTokenizerAreRefused) {
  const Stages stages;
  const fs::path indices = stages.tiny.root() / "indices.safetensors";
  ASSERT_EQ(stages.encode(stages.tokenizer, indices).exit_code, exit_code::kSuccess);
  const Outcome outcome =
      stages.tiny.train({"recipe=ar", "loss.repa=false", "init.from=" + stages.joint.string(),
                         "data.indices=" + indices.string()});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(),
              EndsWith("; encode the pictures again, or set init.tokenizer to the weights that "
                       "encoded them"));
  expect_user_error(
      stages.tiny.train({"recipe=ar", "loss.repa=false", "init.from=" + stages.joint.string(),
                         "data.indices=" + indices.string(), "data.image_size=32"}),
      "data.indices: " + indices.string() +
          ": has pictures of size 16, but data.image_size is 32; encode the pictures with the "
          "tokenizer and picture size of this configuration, or set them to those of the indices");
}

TEST(HandOver, AnExportedTokenizerIsEncodedWithTheConfigurationThatSaysWhatItIs) {
  const Stages stages;
  const fs::path file = stages.tiny.root() / "tuned.safetensors";
  const Outcome exported = stages.tiny.gear(
      {"convert", stages.joint.string(), file.string(), "--part", "tokenizer_ema"});
  ASSERT_EQ(exported.exit_code, exit_code::kSuccess) << exported.err;
  const fs::path of_run = stages.tiny.root() / "run.safetensors";
  const fs::path of_file = stages.tiny.root() / "file.safetensors";
  expect_user_error(stages.encode(file, of_file),
                    file.string() +
                        ": is no run folder or checkpoint of gear, from which the network would be "
                        "known; name a configuration with its tokenizer section, as in --config "
                        "configs/imagenet256/stage0_vq16.yaml");
  const Outcome outcome = stages.encode(file, of_file, {"--config", stages.tiny.config().string()});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  ASSERT_EQ(stages.encode(stages.joint, of_run).exit_code, exit_code::kSuccess);
  EXPECT_EQ(io::read_bytes(of_file), io::read_bytes(of_run));
}

}  // namespace
}  // namespace gear::cli::testing
