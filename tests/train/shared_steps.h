#pragma once

#include <ATen/ops/allclose.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "gear/dist/world.h"
#include "train/small_recipe.h"

/// The same steps computed by one process and by several ranks together.
namespace gear::train::testing {

inline RunConfig shared_config(RecipeKind recipe) {
  RunConfig config = small_recipe_config(recipe);
  config.data.batch_size = 12;
  config.loss.lecam = 0.1;
  config.tokenizer.quantizer.entropy_ratio = 0.5;
  config.ar.attention_dropout = 0.2;
  config.optimizer.warmup_steps = 2;
  return config;
}

inline data::Batch rows_of(const data::Batch& batch, int64_t first, int64_t count) {
  const auto rows = [&](const Tensor& all) {
    return all.defined() ? all.narrow(0, first, count) : Tensor();
  };
  const auto begin = batch.sample_ids.begin() + first;
  return {.images = rows(batch.images),
          .labels = rows(batch.labels),
          .sample_ids = {begin, begin + count},
          .tokens = rows(batch.tokens)};
}

/// The micro-batches of a step that this rank has, in the order of the loader.
inline std::vector<data::Batch> share_of(const data::Batch& batch, int64_t passes,
                                         const dist::World& world) {
  const int64_t count = batch.labels.size(0) / (passes * world.size());
  std::vector<data::Batch> share;
  for (int64_t pass = 0; pass < passes; ++pass) {
    share.push_back(rows_of(batch, (pass * world.size() + world.rank()) * count, count));
  }
  return share;
}

inline std::map<std::string, double> step_of(Recipe& recipe,
                                             const std::vector<data::Batch>& batches,
                                             int64_t step) {
  const auto values = recipe.step(batches, {.step = step, .diagnostics = true}).host_values();
  return {values.begin(), values.end()};
}

/// The part of the whole tensor that a rank's tensor of the same name is.
inline Tensor part_of(const Tensor& whole, const TensorGroup& group, const std::string& name,
                      const Tensor& like) {
  const auto shard = group.shards.find(name);
  if (shard == group.shards.end()) return whole;
  EXPECT_EQ(at::IntArrayRef(shard->second.shape), whole.sizes()) << name;
  return whole.reshape({-1}).narrow(0, shard->second.offset, like.numel());
}

/// A norm behind many layers takes out what their bias adds, so its gradient is rounding noise, and
/// Adam makes steps of full size of it.
inline bool moves_at_random(const std::string& name) { return name.ends_with(".bias"); }

/// Compares every tensor that a checkpoint would hold.
inline void expect_same_state(Recipe& several, Recipe& one, double tolerance) {
  const auto expected = copies(one);
  for (const auto& group : several.state()) {
    for (const auto& [name, tensor] : group.tensors) {
      if (tolerance > 0.0 && moves_at_random(name)) continue;
      const auto part = part_of(expected.at(group.name + "/" + name), group, name, tensor);
      if (tolerance == 0.0) {
        EXPECT_TRUE(tensor.equal(part)) << group.name << "/" << name;
      } else {
        EXPECT_TRUE(at::allclose(tensor, part, tolerance, tolerance)) << group.name << "/" << name;
      }
    }
  }
}

}  // namespace gear::train::testing
