// The Python reference's training files: flags, optimizers, layout.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/io/torch_writer.h"
#include "gear/train/network_fit.h"
#include "gear/train/reference/args.h"
#include "gear/train/reference/checkpoint.h"
#include "models/families.h"
#include "project_folders.h"
#include "small_recipe.h"
#include "tiny_run.h"

namespace gear::train::reference {
namespace {

using io::TorchArchive;
using io::TorchValue;
using ::testing::HasSubstr;
using testing::small_recipe_config;
using train::testing::TemporaryFolder;
using Kind = io::PickleValue::Kind;

/// A value written and read back.
class ReadBack {
 public:
  explicit ReadBack(const TorchValue& value) {
    io::write_torch(folder_.path() / "x.pt", value);
    archive_ = std::make_unique<TorchArchive>(folder_.path() / "x.pt");
  }
  const io::PickleValue& root() const { return archive_->root(); }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<TorchArchive> archive_;
};

RunConfig from_flags(const std::vector<std::pair<std::string, TorchValue>>& flags) {
  TorchValue::Dict args;
  for (const auto& [flag, value] : flags) args.set(flag, value);
  const ReadBack written(args);
  return config_from_args(written.root(), "x.pt");
}

std::string refusal_of(const std::vector<std::pair<std::string, TorchValue>>& flags) {
  try {
    from_flags(flags);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ReferenceArgs, FlagsSetTheFieldsThatMeanTheSame) {
  const auto config = from_flags({{"vq_model", "VQ-16"},
                                  {"ar_model", "LlamaGen-XL"},
                                  {"image_size", 384},
                                  {"temperature", 0.1},
                                  {"vae_align_proj_coeff", 0.5},
                                  {"vq_align_straight_through", true},
                                  {"enc_type", "siglip2-vit-b"},
                                  {"encoder_depth", 12},
                                  {"repa_target_spnorm", "zscore"},
                                  {"dropout_p", 0.2},
                                  {"mixed_precision", "bf16"},
                                  {"commit_loss_beta", {}},
                                  {"adam_weight_decay", 0},
                                  {"data_dir", "imagenet"}});
  EXPECT_EQ(config.data.image_size, 384);
  EXPECT_EQ(config.data.path, "imagenet");
  EXPECT_EQ(config.data.num_classes, 1000);
  EXPECT_EQ(config.ar.dim, 1280);
  EXPECT_EQ(config.ar.depth, 36);
  EXPECT_EQ(config.ar.residual_dropout, 0.2);
  EXPECT_EQ(config.ar.ffn_dropout, 0.2);
  EXPECT_EQ(config.loss.temperature, 0.1);
  EXPECT_EQ(config.loss.align_tokenizer, 0.5);
  EXPECT_EQ(config.loss.readout, Readout::kSte);
  EXPECT_EQ(config.loss.tap, 12);
  EXPECT_EQ(config.loss.spatial_norm, losses::SpatialNorm::kZscore);
  EXPECT_EQ(config.teacher.model, "siglip2-vit-b");
  EXPECT_EQ(config.precision, Precision::kBf16);
  EXPECT_EQ(config.tokenizer.quantizer.commit_weight, 0.25);
}

TEST(ReferenceArgs, EveryNamedTokenizerHasTheArchitectureOfItsConfiguration) {
  const std::string folder = std::string(GEAR_SOURCE_DIR) + "/configs/imagenet256/stage0_";
  for (const auto& [name, file] :
       std::vector<std::pair<std::string, std::string>>{{"VQ-16", "vq16"},
                                                        {"VQ-8", "vq8"},
                                                        {"LFQ-16", "lfq16"},
                                                        {"LFQ-8", "lfq8"},
                                                        {"GLFQ-16", "glfq16"},
                                                        {"IBQ-16", "ibq16"}}) {
    const auto wanted = config::load<RunConfig>(folder + file + ".yaml");
    const auto args = args_from_config(wanted);
    const ReadBack written(args);
    ASSERT_NE(written.root().find("vq_model"), nullptr) << name;
    EXPECT_EQ(written.root().find("vq_model")->text, name);
    const auto found =
        from_flags({{"vq_model", name},
                    {"codebook_size", wanted.tokenizer.quantizer.codebook_size},
                    {"codebook_embed_dim", wanted.tokenizer.quantizer.codebook_dim}});
    const NetworkShapes expected_shapes(wanted), shapes(found);
    const auto expected = expected_shapes.network("tokenizer").tensors;
    const auto tensors = shapes.network("tokenizer").tensors;
    ASSERT_EQ(tensors.size(), expected.size()) << name;
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(tensors[i].first, expected[i].first);
      EXPECT_EQ(tensors[i].second.sizes(), expected[i].second.sizes()) << tensors[i].first;
    }
  }
}

TEST(ReferenceArgs, LookupFreeTokenizersHaveABitForEachChannel) {
  const auto config = from_flags({{"vq_model", "LFQ-16"}, {"codebook_embed_dim", 8}});
  EXPECT_EQ(config.tokenizer.quantizer.codebook_dim, 14);
}

TEST(ReferenceArgs, ConfigurationsComeBackWholeAlsoWhereTheReferenceHasNoFlag) {
  for (const models::Family& family : models::families()) {
    RunConfig config = small_recipe_config(RecipeKind::kTokenizer);
    config.tokenizer = family.config;
    config.run_dir = "runs/a b";
    const ReadBack written(args_from_config(config));
    const auto found = config_from_args(written.root(), "x.pt");
    EXPECT_EQ(config::dump(found), config::dump(config)) << family.name;
  }
}

TEST(ReferenceArgs, FlagsOfAWrongTypeOrNameAreRefused) {
  EXPECT_EQ(refusal_of({{"image_size", "big"}}),
            "x.pt: args: image_size: is a string, expected an integer");
  EXPECT_EQ(refusal_of({{"vq_model", "VQ-32"}}),
            "x.pt: args: vq_model: is VQ-32, expected one of VQ-16, VQ-8, LFQ-16, LFQ-8, GLFQ-16, "
            "IBQ-16");
  EXPECT_EQ(refusal_of({{"lr_scheduler", "step"}}),
            "x.pt: args: lr_scheduler: is step, expected one of constant, cosine");
  EXPECT_THAT(refusal_of({{"gear_config", "ar: {dpeth: 3}"}}),
              HasSubstr("x.pt: args: gear_config:1: ar.dpeth: unknown key; did you mean depth?"));
}

StoredRun stored(const RunConfig& config, Recipe& recipe, int64_t step) {
  StoredRun run;
  run.config = config;
  run.position.step = step;
  run.groups = recipe.state();
  return run;
}

/// A small run after one step.
StoredRun trained_run(Recipe& recipe, const RunConfig& config) {
  if (config.recipe == RecipeKind::kGear) testing::fill_output_layer(recipe);
  testing::step_metrics(recipe, testing::small_batch(config, 1), {.step = 0});
  return stored(config, recipe, /*step=*/1);
}

TEST(ReferenceCheckpoint, HasTheKeysOfEachStage) {
  const std::vector<std::pair<RecipeKind, std::vector<std::string>>> stages = {
      {RecipeKind::kTokenizer,
       {"vq", "vq_ema", "discriminator", "opt_vq", "sched_vq", "opt_disc", "sched_disc", "args",
        "steps", "stage"}},
      {RecipeKind::kGear,
       {"ar", "ema", "projectors", "vq", "vq_ema", "discriminator", "opt_ar", "sched_ar", "opt_vq",
        "sched_vq", "opt_disc", "sched_disc", "args", "steps"}}};
  for (const auto& [kind, keys] : stages) {
    const RunConfig config = small_recipe_config(kind);
    const auto recipe = make_recipe(config).recipe;
    const ReadBack file(checkpoint_value(stored(config, *recipe, 5)));
    std::vector<std::string> found;
    for (const auto& [key, value] : file.root().entries) found.push_back(key->text);
    EXPECT_EQ(found, keys);
    EXPECT_EQ(steps_of(file.root()), 5);
  }
}

TEST(ReferenceCheckpoint, MomentsStandInParameterOrderTransformerFirst) {
  const RunConfig config = small_recipe_config();
  const auto recipe = make_recipe(config).recipe;
  const StoredRun run = trained_run(*recipe, config);
  const ReadBack file(checkpoint_value(run));
  const auto parameters = NetworkShapes(config).trained_by("optimizer_ar");
  EXPECT_EQ(parameters.front().first, "ar.cls_embedding.embedding_table.weight");
  EXPECT_EQ(parameters.back().first, "projector.projs.0.4.bias");
  const auto* state = file.root().find("opt_ar")->find("state");
  ASSERT_EQ(state->entries.size(), parameters.size());
  const TensorGroup& group = *run.find("optimizer_ar");
  for (const auto& [key, value] : state->entries) {
    const std::string& name = parameters.at(static_cast<size_t>(key->integer)).first;
    const auto own =
        std::find_if(group.tensors.begin(), group.tensors.end(),
                     [&](const auto& entry) { return entry.first == "exp_avg." + name; });
    EXPECT_TRUE(at::equal(value->find("exp_avg")->tensor->values(), own->second)) << name;
    EXPECT_EQ(value->find("step")->tensor->values().item<float>(), 1.0F);
  }
}

TEST(ReferenceCheckpoint, DiscriminatorOptimizerAlsoListsTheFrozenPerceptualNetwork) {
  const RunConfig config = small_recipe_config(RecipeKind::kTokenizer);
  const auto recipe = make_recipe(config).recipe;
  const ReadBack file(checkpoint_value(trained_run(*recipe, config)));
  const auto trained = NetworkShapes(config).trained_by("optimizer_discriminator").size();
  const auto* optimizer = file.root().find("opt_disc");
  // VGG-16: 13 convolutions with biases; LPIPS: 5 linear layers without.
  EXPECT_EQ(optimizer->find("param_groups")->items[0]->find("params")->items.size(), trained + 31);
  EXPECT_EQ(optimizer->find("state")->entries.size(), trained);
}

TEST(ReferenceCheckpoint, OptimizersComeBackBitForBit) {
  for (const RecipeKind kind : {RecipeKind::kTokenizer, RecipeKind::kGear}) {
    const RunConfig config = small_recipe_config(kind);
    const auto recipe = make_recipe(config).recipe;
    const ReadBack file(checkpoint_value(trained_run(*recipe, config)));
    const auto groups = optimizer_groups(file.root(), config, "x.pt");
    EXPECT_EQ(groups.size(), kind == RecipeKind::kGear ? 3U : 2U);
    const auto before = testing::copies(*recipe);
    for (const TensorGroup& group : groups) {
      for (const auto& [name, tensor] : group.tensors) {
        EXPECT_TRUE(at::equal(tensor, before.at(group.name + "/" + name))) << name;
      }
    }
  }
}

TEST(ReferenceCheckpoint, AParameterWithoutStateGetsZeros) {
  const RunConfig config = small_recipe_config(RecipeKind::kTokenizer);
  const auto recipe = make_recipe(config).recipe;  // no step yet
  const ReadBack file(checkpoint_value(stored(config, *recipe, 0)));
  EXPECT_TRUE(file.root().find("opt_vq")->find("state")->entries.empty());
  const auto groups = optimizer_groups(file.root(), config, "x.pt");
  EXPECT_EQ(groups[0].tensors.size(),
            3 * NetworkShapes(config).trained_by("optimizer_tokenizer").size());
}

TEST(ReferenceCheckpoint, MomentsOfAnotherNetworkAreRefusedByName) {
  const RunConfig config = small_recipe_config(RecipeKind::kTokenizer);
  const auto recipe = make_recipe(config).recipe;
  const ReadBack file(checkpoint_value(trained_run(*recipe, config)));
  RunConfig other = config;
  other.tokenizer.z_channels = 24;
  try {
    optimizer_groups(file.root(), other, "x.pt");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("x.pt: opt_vq: exp_avg of tokenizer."));
    EXPECT_THAT(error.what(), HasSubstr("expected ["));
  }
}

TEST(ReferenceCheckpoint, GroupsWithoutAPlaceAreNamed) {
  RunConfig config = small_recipe_config(RecipeKind::kTokenizer);
  config.loss.lecam = 0.01;
  const auto recipe = make_recipe(config).recipe;
  EXPECT_THAT(groups_without_place(stored(config, *recipe, 0)), ::testing::ElementsAre("lecam"));
}

}  // namespace
}  // namespace gear::train::reference
