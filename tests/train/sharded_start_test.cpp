// With parallel.shard: full no rank ever holds a whole network: not when a run starts, takes
// initial weights, goes on from a checkpoint, or draws pictures.

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>

#include "gear/nn/meta_scope.h"
#include "gear/train/stored_indices.h"
#include "gear/train/trained_networks.h"
#include "train/counted_memory.h"
#include "train/sharding/units.h"
#include "train/shared_folder.h"
#include "train/small_recipe.h"

namespace gear::train {
namespace {

using dist::testing::run_ranks;
using testing::CountedMemory;
using ::testing::HasSubstr;
using testing::SharedFolder;

constexpr int64_t kRanks = 3;
constexpr double kUncounted = 1.1;  // padding, temporary rows of a copy

/// Networks of many blocks, so that the whole is much more than a block and what is in none.
RunConfig deep_config(RecipeKind recipe) {
  RunConfig config = testing::small_recipe_config(recipe);
  config.ar.dim = 64;
  config.ar.depth = 12;
  config.tokenizer.num_res_blocks = 6;
  config.loss.repa = false;  // a teacher is frozen, and whole
  return config;
}

Parallel divided(const dist::World& world) {
  ParallelConfig full;
  full.shard = ShardMode::kFull;
  return make_parallel(world, full);
}

double bytes_of(const NamedTensors& tensors) {
  double sum = 0.0;
  for (const auto& [name, tensor] : tensors) sum += static_cast<double>(tensor.nbytes());
  return sum;
}

double state_bytes(Recipe& recipe) {
  double sum = 0.0;
  for (const TensorGroup& group : recipe.state()) sum += bytes_of(group.tensors);
  return sum;
}

/// What may be whole at once: the largest block of a network, and what of it is in no block.
double most_whole_at_once(const RunConfig& config) {
  const nn::MetaScope meta;
  double most = 0.0;
  for (const TrainedNetwork& network : trained_networks(config)) {
    double root = 0.0, block = 0.0;
    for (const NetworkUnit& unit : units_of(*network.module, parameter_names(*network.module))) {
      auto& place = unit.is_root() ? root : block;
      place = std::max(place, bytes_of(unit.parameters));
    }
    most = std::max(most, root + block);
  }
  return most;
}

/// Runs `make` and expects that the pieces it leaves are this rank's share, and that nothing much
/// more has been there at any time.
std::unique_ptr<Recipe> expect_in_parts(const RunConfig& config, double whole_state,
                                        const std::function<std::unique_ptr<Recipe>()>& make) {
  auto& memory = CountedMemory::instance();
  const int64_t before = memory.bytes();
  memory.forget_peak();
  auto recipe = make();
  const auto held = static_cast<double>(memory.bytes() - before);
  const auto peak = static_cast<double>(memory.peak() - before);
  EXPECT_GE(held, state_bytes(*recipe));
  EXPECT_LT(held, kUncounted * whole_state / kRanks);
  EXPECT_LT(peak, kUncounted * (whole_state / kRanks + most_whole_at_once(config)));
  return recipe;
}

/// A run folder with the checkpoint of one process, of all networks.
void save_whole(const RunConfig& config, const std::filesystem::path& folder) {
  const auto whole = make_recipe(config).recipe;
  const auto batch = testing::small_batch(config, 1);
  whole->step({&batch, 1}, {.step = 0});
  CheckpointStore(folder / "checkpoints", 1)
      .save({.step = 1}, config::dump(config), whole->state());
}

void expect_state(Recipe& recipe, const std::map<std::string, TensorGroup>& expected) {
  for (const TensorGroup& group : recipe.state()) {
    const auto found = expected.find(group.name);
    if (found == expected.end()) continue;
    for (size_t i = 0; i < group.tensors.size(); ++i) {
      const auto& [name, tensor] = group.tensors[i];
      Tensor value = found->second.tensors[i].second;
      const auto shard = group.shards.find(name);
      if (shard != group.shards.end()) {
        value = value.reshape({-1}).narrow(0, shard->second.offset, tensor.numel());
      }
      EXPECT_TRUE(tensor.equal(value)) << group.name << "/" << name;
    }
  }
}

std::map<std::string, TensorGroup> groups_of(Recipe& recipe) {
  std::map<std::string, TensorGroup> groups;
  for (TensorGroup& group : recipe.state()) groups.emplace(group.name, group);
  return groups;
}

std::unique_ptr<Recipe> loaded(std::unique_ptr<Recipe> recipe,
                               const std::filesystem::path& folder) {
  find_checkpoint(folder)->load(recipe->state());
  recipe->state_loaded();
  return recipe;
}

TEST(ShardedStart, NetworksAreDividedAsTheyAreBuiltAndHaveTheValuesOfOneProcess) {
  run_ranks(kRanks, [](const dist::World& world) {
    const RunConfig config = deep_config(RecipeKind::kGear);
    const auto one = make_recipe(config).recipe;
    const auto several = expect_in_parts(config, state_bytes(*one), [&] {
      return make_recipe(config, WeightSource::kInit, divided(world)).recipe;
    });
    expect_state(*several, groups_of(*one));
  });
}

TEST(ShardedStart, InitialWeightsAndCheckpointsAreReadInParts) {
  run_ranks(kRanks, [](const dist::World& world) {
    RunConfig config = deep_config(RecipeKind::kGear);
    const SharedFolder folder(world);
    if (world.is_first()) save_whole(config, folder.path());
    world.barrier();

    const auto stored =
        loaded(make_recipe(config, WeightSource::kCheckpoint).recipe, folder.path());
    const double whole_state = state_bytes(*stored);
    const auto resumed = expect_in_parts(config, whole_state, [&] {
      return loaded(make_recipe(config, WeightSource::kCheckpoint, divided(world)).recipe,
                    folder.path());
    });
    expect_state(*resumed, groups_of(*stored));

    config.init.from = folder.path();
    const auto one = make_recipe(config).recipe;
    const auto several = expect_in_parts(config, whole_state, [&] {
      return make_recipe(config, WeightSource::kInit, divided(world)).recipe;
    });
    expect_state(*several, groups_of(*one));
  });
}

TEST(ShardedStart, TheFrozenTokenizerOfStageTwoIsDividedToo) {
  run_ranks(kRanks, [](const dist::World& world) {
    RunConfig config = deep_config(RecipeKind::kTokenizer);
    const SharedFolder folder(world);
    if (world.is_first()) save_whole(config, folder.path());
    world.barrier();

    config = deep_config(RecipeKind::kAr);
    config.init.tokenizer = folder.path();
    const auto one = make_recipe(config).recipe;
    const auto several = expect_in_parts(config, state_bytes(*one), [&] {
      return make_recipe(config, WeightSource::kInit, divided(world)).recipe;
    });
    expect_state(*several, groups_of(*one));
    EXPECT_EQ(tokenizer_sha256(*several->sampling_pair(true).tokenizer),
              tokenizer_sha256(*one->sampling_pair(true).tokenizer));
  });
}

TEST(ShardedStart, WeightsOfAnotherShapeAreRefusedBeforeAnythingIsCopied) {
  run_ranks(2, [](const dist::World& world) {
    RunConfig config = testing::small_recipe_config(RecipeKind::kTokenizer);
    const SharedFolder folder(world);
    if (world.is_first()) save_whole(config, folder.path());
    world.barrier();
    config.init.from = folder.path();
    config.tokenizer.ch = 64;
    try {
      make_recipe(config, WeightSource::kInit, divided(world));
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("tokenizer.safetensors: encoder.conv_in.weight: expected "
                                          "[64, 3, 3, 3], got [32, 3, 3, 3]"));
    }
  });
}

TEST(ShardedStart, PicturesAreDrawnWithoutBringingANetworkTogether) {
  run_ranks(kRanks, [](const dist::World& world) {
    const at::NoGradGuard no_grad;
    auto& memory = CountedMemory::instance();
    const RunConfig config = deep_config(RecipeKind::kGear);
    const auto one = make_recipe(config).recipe;
    const auto several = make_recipe(config, WeightSource::kInit, divided(world)).recipe;
    const auto labels = at::zeros({1}, at::kLong);
    const auto draw = [&](Recipe& recipe) {
      auto [tokenizer, ar] = recipe.sampling_pair(/*ema=*/true);
      ar->eval();
      models::KvCache cache(ar->config(), 1, at::kCPU);
      ar->prefill(labels, cache);
      return std::make_pair(
          ar->decode_step(labels, cache),
          tokenizer->decode_ids(at::zeros({1, ar->config().num_tokens}, at::kLong)));
    };
    const auto expected = draw(*one);

    const int64_t before = memory.bytes();
    memory.forget_peak();
    several->open_networks();
    const auto found = draw(*several);
    several->close_networks();
    EXPECT_TRUE(found.first.allclose(expected.first));
    EXPECT_TRUE(found.second.allclose(expected.second));
    double ar_bytes = 0.0;
    for (const auto& parameter : one->sampling_pair(true).ar->parameters()) {
      ar_bytes += static_cast<double>(parameter.nbytes());
    }
    EXPECT_LT(static_cast<double>(memory.peak() - before), 0.6 * ar_bytes);
    EXPECT_LT(memory.bytes() - before, 10000) << "the two results";
  });
}

}  // namespace
}  // namespace gear::train
