#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "gear/io/atomic.h"
#include "gear/train/run_config.h"
#include "io/temporary_folder.h"
#include "project_folders.h"

namespace gear::train {
namespace {

TEST(Configs, EveryFileLoadsAndItsDumpLoadsBackToTheSame) {
  const io::TemporaryFolder folder;
  int files = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(GEAR_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    const auto config = config::load<RunConfig>(entry.path());
    const std::string text = config::dump(config);
    const auto copy = folder / "dumped.yaml";
    io::write_file_atomically(copy, text);
    EXPECT_EQ(config::dump(config::load<RunConfig>(copy)), text) << entry.path();
  }
  EXPECT_GE(files, 20);
}

TEST(Configs, PublishedRecipesHaveThePublishedSizes) {
  const std::string folder = GEAR_SOURCE_DIR "/configs/imagenet256/";
  struct Expected {
    const char* size;
    int64_t dim, depth, heads, tap;
  };
  for (const Expected& expected : {Expected{"b", 768, 12, 12, 4}, Expected{"l", 1024, 24, 16, 8},
                                   Expected{"xl", 1280, 36, 20, 12}}) {
    const auto config = config::load<RunConfig>(folder + "stage1_vq16_" + expected.size + ".yaml");
    EXPECT_EQ(config.recipe, RecipeKind::kGear);
    EXPECT_EQ(config.ar.dim, expected.dim);
    EXPECT_EQ(config.ar.depth, expected.depth);
    EXPECT_EQ(config.ar.heads, expected.heads);
    EXPECT_EQ(config.loss.tap, expected.tap);
    EXPECT_EQ(config.grid(), 16);
    EXPECT_EQ(config.loss.temperature, 0.1);
    EXPECT_EQ(config.loss.align_tokenizer, 0.5);
    EXPECT_EQ(config.data.batch_size, 256);
  }
}

TEST(Configs, PublishedStageTwoHasNoWarmUpAndThePublishedLengths) {
  const std::string folder = GEAR_SOURCE_DIR "/configs/imagenet256/";
  struct Expected {
    const char* name;
    int64_t steps;
    bool repa;
  };
  for (const std::string size : {"b", "l", "xl"}) {
    for (const Expected& expected :
         {Expected{"stage2_gear_", 3600000, true}, Expected{"stage2_gear_vq_only_", 4000000, true},
          Expected{"stage2_llamagen_repa_", 4000000, true},
          Expected{"stage2_llamagen_", 4000000, false}}) {
      const std::string name = expected.name + size;
      const auto config = config::load<RunConfig>(folder + name + ".yaml");
      EXPECT_EQ(config.recipe, RecipeKind::kAr) << name;
      EXPECT_EQ(config.steps, expected.steps) << name;
      EXPECT_EQ(config.optimizer.warmup_steps, 0) << name;
      EXPECT_EQ(config.optimizer.schedule, Schedule::kConstant) << name;
      EXPECT_EQ(config.loss.repa, expected.repa) << name;
    }
  }
}

TEST(Configs, StageOneIsThereForEveryTokenizerTeacherAndSize) {
  using enum models::QuantizerKind;
  using enum losses::SpatialNorm;
  struct Tokenizer {
    const char *file, *run;
    models::QuantizerKind kind;
  };
  struct Teacher {
    const char *folder, *run, *model;
    losses::SpatialNorm norm;
  };
  for (const Teacher& teacher : {Teacher{"", "dinov2", "dinov2-vit-b", kNone},
                                 Teacher{"dinov3/", "dinov3", "dinov3-vit-b", kNone},
                                 Teacher{"siglip2/", "siglip2", "siglip2-vit-b", kZscore},
                                 Teacher{"clip/", "clip", "clip-vit-L", kZscore},
                                 Teacher{"jepa21/", "jepa21", "jepa21-vit-b", kZscore}}) {
    for (const Tokenizer& tokenizer :
         {Tokenizer{"vq16", "vq", kVq}, Tokenizer{"lfq16", "lfq", kLfq},
          Tokenizer{"ibq16", "ibq", kIbq}}) {
      for (const std::string size : {"b", "l", "xl"}) {
        const std::string name =
            std::string(teacher.folder) + "stage1_" + tokenizer.file + "_" + size + ".yaml";
        const auto config = config::load<RunConfig>(GEAR_SOURCE_DIR "/configs/imagenet256/" + name);
        EXPECT_EQ(config.recipe, RecipeKind::kGear) << name;
        EXPECT_EQ(config.tokenizer.quantizer.kind, tokenizer.kind) << name;
        EXPECT_EQ(config.teacher.model, teacher.model) << name;
        EXPECT_EQ(config.loss.spatial_norm, teacher.norm) << name;
        EXPECT_EQ(config.loss.spatial_norm_alpha, 0.6) << name;
        EXPECT_EQ(config.loss.tap, config.ar.depth / 3) << name;
        EXPECT_EQ(config.run_dir, std::string("runs/stage1-") + tokenizer.run + "-" + teacher.run +
                                      "-" + size + "-temp0.1-coeff0.5-256px")
            << name;
        EXPECT_EQ(config.init.from, std::string("runs/") + tokenizer.file + "-stage0-bs256-400k")
            << name;
      }
    }
  }
}

TEST(Configs, EveryStageStartsFromTheRunOfAnotherFileAndHasARunOfItsOwn) {
  std::map<std::string, std::string> file_of_run;
  std::vector<RunConfig> configs;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(GEAR_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    const auto config = config::load<RunConfig>(entry.path());
    configs.push_back(config);
    if (config.run_dir == "runs/imagenet256") continue;  // a piece, as it comes from base.yaml
    const auto [other, is_new] = file_of_run.emplace(config.run_dir, entry.path().string());
    EXPECT_TRUE(is_new) << entry.path() << " and " << other->second << " train in one folder";
  }
  for (const RunConfig& config : configs) {
    for (const std::string& source : {config.init.from, config.init.tokenizer}) {
      if (!source.starts_with("runs/")) continue;
      EXPECT_TRUE(file_of_run.contains(source)) << config.run_dir << " starts from " << source;
    }
  }
}

TEST(Configs, TheStraightThroughBaselineDiffersInItsReadOutAlone) {
  const std::string folder = GEAR_SOURCE_DIR "/configs/imagenet256/";
  const auto soft = config::load<RunConfig>(folder + "stage1_vq16_xl.yaml");
  auto ste = config::load<RunConfig>(folder + "stage1_vq16_xl_ste.yaml");
  EXPECT_EQ(soft.loss.readout, Readout::kSoft);
  EXPECT_EQ(ste.loss.readout, Readout::kSte);
  ste.loss.readout = Readout::kSoft;
  ste.run_dir = soft.run_dir;
  EXPECT_EQ(config::dump(ste), config::dump(soft));
}

TEST(RunConfig, ImageSizeMustFitTheTokenizer) {
  RunConfig config;
  config.data.image_size = 250;
  config::Node root;
  try {
    config.check(config::Where(&root, ""));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "data.image_size (default): must be divisible by the downsampling factor 16 (2 to "
                 "the number of tokenizer.ch_mult levels but one), got 250");
  }
}

}  // namespace
}  // namespace gear::train
