// Twenty steps of every recipe on 2, 3 and 4 ranks, with every way to divide the state and several
// families of tokenizers: the losses of one process.

#include <ATen/ops/rand_like.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "dist/ranks.h"
#include "models/families.h"
#include "train/shared_steps.h"

namespace gear::train {
namespace {

using dist::testing::run_ranks;
using testing::share_of;
using testing::shared_config;

constexpr int64_t kSteps = 20;
constexpr int64_t kVirtualShards = 12;

struct Case {
  const char* family = "";
  RecipeKind recipe;
  bool stored_indices = false;  // instead of pictures
};

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.family) + "_" + config::detail::format(info.param.recipe) +
         (info.param.stored_indices ? "_indices" : "");
}

RunConfig config_of(const Case& one) {
  RunConfig config = shared_config(one.recipe);
  for (const auto& family : models::families()) {
    if (family.name == one.family) config.tokenizer.quantizer = family.config.quantizer;
  }
  config.tokenizer.quantizer.entropy_ratio = 0.05;  // as published
  if (one.stored_indices) {
    config.data.indices = "unused";
    config.loss.repa = false;
  }
  return config;
}

data::Batch batch_of(const RunConfig& config, int64_t step) {
  auto batch = testing::small_batch(config, 100 + static_cast<uint64_t>(step));
  if (config.data.indices.empty()) return batch;
  batch.tokens = at::randint(config.tokenizer.quantizer.codebook_size,
                             {config.data.batch_size, config.grid() * config.grid()}, at::kLong);
  batch.images = Tensor();
  return batch;
}

using Losses = std::vector<std::map<std::string, double>>;

/// What every step of a recipe reports, on a rank of `parallel.world` with `passes` micro-batches a
/// step.
Losses steps_of(Recipe& recipe, const RunConfig& config, const Parallel& parallel, int64_t passes) {
  Losses losses;
  for (int64_t step = 0; step < kSteps; ++step) {
    losses.push_back(
        testing::step_of(recipe, share_of(batch_of(config, step), passes, parallel.world), step));
  }
  return losses;
}

Losses losses_of(const RunConfig& config, const Parallel& parallel, int64_t passes) {
  return steps_of(*make_recipe(config, WeightSource::kInit, parallel).recipe, config, parallel,
                  passes);
}

/// Changes every weight by at most one unit in the last place.
void round_weights_otherwise(Recipe& recipe, uint64_t seed) {
  const at::NoGradGuard no_grad;
  torch::manual_seed(seed);
  for (const auto& group : recipe.state()) {
    for (const auto& [name, tensor] : group.tensors) {
      if (!tensor.is_floating_point() || group.name.starts_with("optimizer")) continue;
      tensor.mul_((at::rand_like(tensor) - 0.5) * std::numeric_limits<float>::epsilon() + 1.0);
    }
  }
}

/// How far what one process reports goes astray, up to each step, when its initial weights are
/// rounded otherwise: what float32 leaves open.
Losses wandering_of(const RunConfig& config, const Losses& losses) {
  Losses farthest = losses;
  for (auto& step : farthest) {
    for (auto& [name, value] : step) value = 0.0;
  }
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    const auto recipe = make_recipe(config).recipe;
    round_weights_otherwise(*recipe, seed);
    const Losses found = steps_of(*recipe, config, {}, 1);
    for (size_t step = 0; step < losses.size(); ++step) {
      for (auto& [name, value] : farthest[step]) {
        const double before = step == 0 ? 0.0 : farthest[step - 1].at(name);
        value = std::max({value, before, std::abs(found[step].at(name) - losses[step].at(name))});
      }
    }
  }
  return farthest;
}

/// What the first rank computes alone.
template <class Found>
Found told_by_first(const dist::World& world, const std::function<Found()>& compute) {
  const std::string text = world.is_first() ? nlohmann::json(compute()).dump() : "";
  return nlohmann::json::parse(world.share(text).front()).get<Found>();
}

struct Reference {
  Losses losses, wandering;
};
void to_json(nlohmann::json& json, const Reference& r) { json = {r.losses, r.wandering}; }
void from_json(const nlohmann::json& json, Reference& r) {
  json.at(0).get_to(r.losses);
  json.at(1).get_to(r.wandering);
}

/// All within 1e-5 (norms of gradients 1e-3), or at least not much farther away than the rounding
/// of the initial weights alone leads: entropies of soft assignments, at temperature 0.01, take a
/// hundred times the error of the costs, and hand it to the gradients.
void expect_near(const Losses& found, const Reference& expected, ShardMode mode) {
  for (size_t step = 0; step < expected.losses.size(); ++step) {
    ASSERT_EQ(found[step].size(), expected.losses[step].size());
    for (const auto& [name, value] : expected.losses[step]) {
      const double relative = name.find("grad_norm") == std::string::npos ? 1e-5 : 1e-3;
      const double tolerance = std::max(relative * std::max(1.0, std::abs(value)),
                                        8 * expected.wandering[step].at(name));
      EXPECT_NEAR(found[step].at(name), value, tolerance)
          << name << " of step " << step << ", " << config::detail::format(mode);
    }
    if (::testing::Test::HasFailure()) return;
  }
}

constexpr ShardMode kModes[] = {ShardMode::kNone, ShardMode::kOptimizer, ShardMode::kFull};

class TwentySteps : public ::testing::TestWithParam<Case> {};

TEST_P(TwentySteps, GiveTheLossesOfOneProcessOnAnyNumberOfRanks) {
  for (const int64_t size : {2, 3, 4}) {
    run_ranks(size, [](const dist::World& world) {
      RunConfig config = config_of(GetParam());
      const auto expected = told_by_first<Reference>(world, [&] {
        const Losses losses = losses_of(config, {}, 1);
        return Reference{.losses = losses, .wandering = wandering_of(config, losses)};
      });
      for (const ShardMode mode : kModes) {
        config.parallel.shard = mode;
        expect_near(losses_of(config, make_parallel(world, config.parallel), 1), expected, mode);
      }
    });
  }
}

TEST_P(TwentySteps, GiveTheSameBitsOnAnyNumberOfRanksInDeterministicMode) {
  for (const int64_t size : {2, 3, 4}) {
    run_ranks(size, [](const dist::World& world) {
      RunConfig config = config_of(GetParam());
      config.parallel.deterministic = true;
      const auto expected = told_by_first<Losses>(
          world, [&] { return losses_of(config, {.config = config.parallel}, kVirtualShards); });
      for (const ShardMode mode : kModes) {
        config.parallel.shard = mode;
        EXPECT_EQ(
            losses_of(config, make_parallel(world, config.parallel), kVirtualShards / world.size()),
            expected)
            << config::detail::format(mode);
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, TwentySteps,
    ::testing::Values(Case{"Vq", RecipeKind::kTokenizer}, Case{"Vq", RecipeKind::kGear},
                      Case{"Vq", RecipeKind::kAr}, Case{"Vq", RecipeKind::kAr, true},
                      Case{"Lfq", RecipeKind::kTokenizer}, Case{"Lfq", RecipeKind::kGear},
                      Case{"Lfq", RecipeKind::kAr}, Case{"Ibq", RecipeKind::kTokenizer},
                      Case{"Ibq", RecipeKind::kGear}, Case{"Ibq", RecipeKind::kAr}),
    name_of);

}  // namespace
}  // namespace gear::train
