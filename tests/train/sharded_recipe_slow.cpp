// Twenty steps of every recipe on 2, 3 and 4 ranks, with every way to divide the state and several
// families of tokenizers: the losses of one process.

#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <cmath>
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
  if (config.tokenizer.quantizer.kind == models::QuantizerKind::kVq) {
    config.tokenizer.quantizer.entropy_ratio = 0.5;
  }
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

/// What every step reports, of a rank of `parallel.world` with `passes` micro-batches a step.
Losses losses_of(const RunConfig& config, const Parallel& parallel, int64_t passes) {
  const auto recipe = make_recipe(config, WeightSource::kInit, parallel).recipe;
  Losses losses;
  for (int64_t step = 0; step < kSteps; ++step) {
    losses.push_back(
        testing::step_of(*recipe, share_of(batch_of(config, step), passes, parallel.world), step));
  }
  return losses;
}

/// What the first rank computes alone.
Losses told_by_first(const dist::World& world, const std::function<Losses()>& compute) {
  const std::string text = world.is_first() ? nlohmann::json(compute()).dump() : "";
  return nlohmann::json::parse(world.share(text).front()).get<Losses>();
}

/// Losses within 1e-5; norms of gradients see the random walk of biases that a norm takes out.
void expect_near(const Losses& found, const Losses& expected, ShardMode mode) {
  for (size_t step = 0; step < expected.size(); ++step) {
    ASSERT_EQ(found[step].size(), expected[step].size());
    for (const auto& [name, value] : expected[step]) {
      const double tolerance = name.find("grad_norm") == std::string::npos ? 1e-5 : 1e-3;
      EXPECT_NEAR(found[step].at(name), value, tolerance * std::max(1.0, std::abs(value)))
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
      const Losses expected = told_by_first(world, [&] { return losses_of(config, {}, 1); });
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
      const Losses expected = told_by_first(
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
