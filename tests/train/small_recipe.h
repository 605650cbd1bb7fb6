#pragma once

#include <ATen/ops/equal.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <map>
#include <string>
#include <vector>

#include "gear/train/recipe_factory.h"
#include "gear/train/recipes/gear_recipe.h"

/// Real networks, as small as they come, for tests of whole recipes.
namespace gear::train::testing {

inline RunConfig small_recipe_config(RecipeKind recipe = RecipeKind::kGear) {
  RunConfig config;
  config.recipe = recipe;
  config.run_dir = "unused";
  config.precision = Precision::kFp32;
  config.device = DeviceChoice::kCpu;
  config.steps = 10;
  config.data.path = "unused";
  config.data.image_size = 8;
  config.data.batch_size = 4;
  config.data.num_classes = 3;
  config.tokenizer.ch = 32;
  config.tokenizer.ch_mult = {1, 1};
  config.tokenizer.num_res_blocks = 1;
  config.tokenizer.z_channels = 16;
  config.tokenizer.quantizer.codebook_size = 24;
  config.ar.dim = 32;
  config.ar.depth = 2;
  config.ar.heads = 2;
  config.teacher.model = "dinov2-custom";
  config.teacher.custom_dim = 32;
  config.teacher.custom_depth = 1;
  config.teacher.custom_heads = 2;
  config.discriminator.ndf = 8;
  config.discriminator.layers = 1;  // the pictures are too small for three
  config.loss.perceptual = 0.0;
  config.loss.tap = 1;
  config.loss.projector_dim = 32;
  config.optimizer.warmup_steps = 0;
  return config;
}

inline data::Batch small_batch(const RunConfig& config, uint64_t seed) {
  torch::manual_seed(seed);
  const int64_t count = config.data.batch_size;
  const int64_t side = config.data.image_size;
  data::Batch batch{.images = at::randint(0, 256, {count, 3, side, side}).to(at::kByte),
                    .labels = at::randint(0, config.data.num_classes, {count}, at::kLong),
                    .sample_ids = {}};
  for (int64_t i = 0; i < count; ++i) batch.sample_ids.push_back(i);
  return batch;
}

inline TokenizerNetworks small_tokenizer_networks(const RunConfig& config) {
  torch::manual_seed(11);
  TokenizerNetworks networks;
  networks.tokenizer = models::make_tokenizer(config.tokenizer);
  networks.tokenizer_ema = models::make_tokenizer(config.tokenizer);
  networks.discriminator = models::PatchGan(config.discriminator);
  return networks;
}

/// `feature_dim` of the one teacher.
inline ArNetworks small_ar_networks(const RunConfig& config, int64_t feature_dim) {
  torch::manual_seed(12);
  ArNetworks networks;
  networks.ar = models::ArModel(config.resolved_ar());
  networks.ar_ema = models::ArModel(config.resolved_ar());
  networks.projector = models::Projector(config.ar.dim, config.loss.projector_dim,
                                         std::vector<int64_t>{feature_dim});
  return networks;
}

using NamedCopies = std::map<std::string, Tensor>;

/// "<group>/<tensor>" of everything a checkpoint of the recipe would hold.
inline NamedCopies copies(Recipe& recipe) {
  NamedCopies tensors;
  for (const auto& group : recipe.state()) {
    for (const auto& [name, tensor] : group.tensors) {
      tensors[group.name + "/" + name] = tensor.detach().clone();
    }
  }
  return tensors;
}

/// The live tensor "<group>/<tensor>" of a recipe.
inline Tensor live_tensor(Recipe& recipe, const std::string& full_name) {
  for (const auto& group : recipe.state()) {
    for (const auto& [name, tensor] : group.tensors) {
      if (group.name + "/" + name == full_name) return tensor;
    }
  }
  fail("the recipe has no tensor ", full_name);
}

/// The output layer as after some training: it starts at zero, which would stop every gradient of
/// the next-token loss.
inline void fill_output_layer(Recipe& recipe) {
  const at::NoGradGuard no_grad;
  torch::manual_seed(13);
  live_tensor(recipe, "ar/output.weight").normal_(0.0, 0.2);
}

/// Running statistics of batch norm, which a forward pass in train mode changes.
inline bool is_running_statistic(const std::string& name) {
  return name.find("running_") != std::string::npos ||
         name.find("num_batches_tracked") != std::string::npos;
}

/// One step with the dropout of its number, as the trainer seeds it, and its metrics.
inline std::map<std::string, double> step_metrics(Recipe& recipe, const data::Batch& batch,
                                                  const StepContext& context) {
  torch::manual_seed(static_cast<uint64_t>(context.step));
  const auto values = recipe.step({&batch, 1}, context).host_values();
  return {values.begin(), values.end()};
}

/// All tensors of `expected` whose names begin with one of the prefixes are in `found`, bit for
/// bit.
inline void expect_same_bits(const NamedCopies& found, const NamedCopies& expected,
                             const std::vector<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    int64_t compared = 0;
    for (const auto& [name, value] : expected) {
      if (!name.starts_with(prefix)) continue;
      EXPECT_TRUE(at::equal(found.at(name), value)) << name;
      ++compared;
    }
    EXPECT_GT(compared, 0) << prefix;
  }
}

}  // namespace gear::train::testing
