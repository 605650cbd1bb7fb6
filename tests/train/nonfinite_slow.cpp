// A NaN in the pictures of one of two ranks, at random steps, under every choice of
// optimizer.on_nonfinite and every way to divide the state: no weight takes it in.
// GEAR_SLOW_SCALE multiplies the number of trials.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <utility>

#include "gear/train/trainer.h"
#include "slow_scale.h"
#include "train/shared_folder.h"
#include "train/shared_steps.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using dist::World;
using dist::testing::run_ranks;
using testing::checkpoint_path;
using testing::SharedFolder;

constexpr int64_t kRanks = 2;
constexpr int64_t kSteps = 6;

struct Fault {
  int64_t step = -1;
  int64_t rank = 0;
  bool passing = true;  // gone when the step is tried again
};

/// The share of a rank of batches that depend on their position alone, with a fault in one of them.
class FaultySource : public BatchSource {
 public:
  FaultySource(const RunConfig& config, const World& world, const Fault& fault)
      : config_(config), world_(world), fault_(fault) {}

  data::Batch next() override {
    const int64_t step = std::exchange(position_, position_ + world_.size()) / world_.size();
    const auto all = testing::small_batch(config_, 100 + static_cast<uint64_t>(step));
    auto batch = testing::share_of(all, /*passes=*/1, world_)[0];
    if (step != fault_.step || world_.rank() != fault_.rank) return batch;
    if (fault_.passing) fault_.step = -1;
    batch.images = models::to_signed_unit(batch.images)
                       .fill_(std::numeric_limits<float>::quiet_NaN())
                       .contiguous(at::MemoryFormat::ChannelsLast);
    return batch;
  }
  void seek(int64_t micro_batch) override { position_ = micro_batch; }

 private:
  const RunConfig config_;
  const World& world_;
  Fault fault_;
  int64_t position_ = 0;  // among the micro-batches of all ranks
};

struct Case {
  RecipeKind recipe;
  ShardMode shard;
};

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  return config::detail::format(info.param.recipe) + "_" + config::detail::format(info.param.shard);
}

class NonFiniteRuns : public ::testing::TestWithParam<Case> {};

RunConfig config_of(const Case& one, OnNonfinite choice) {
  RunConfig config = testing::shared_config(one.recipe);
  config.run_dir = config.data.path = "unused";
  config.steps = kSteps;
  config.loss.repa = false;  // a teacher takes bytes, which hold no NaN
  config.parallel.shard = one.shard;
  config.optimizer.on_nonfinite = choice;
  config.output.checkpoint_every = 1;
  config.output.keep_checkpoints = kSteps + 1;
  config.output.preview_every = config.output.eval_every = 0;
  return config;
}

/// Trains to the end, and returns the message of the Error that ends it otherwise.
std::string train(const RunConfig& config, const World& world, const fs::path& path,
                  const Fault& fault) {
  const Parallel parallel = make_parallel(world, config.parallel);
  const auto recipe = make_recipe(config, WeightSource::kInit, parallel).recipe;
  FaultySource source(config, world, fault);
  RunFolderOptions options;
  options.path = path;
  options.config_yaml = config::dump(config);
  options.keep_checkpoints = config.output.keep_checkpoints;
  options.layout = save_layout(parallel);
  RunFolder folder(options);
  try {
    Trainer(config, *recipe, source, folder, {}).run();
  } catch (const Error& error) {
    return error.what();
  }
  for (const TensorGroup& group : recipe->state()) EXPECT_EQ(first_nonfinite(group.tensors), "");
  return "";
}

/// Both runs had the same weights, moments and averages after `step`.
void expect_same_tensors(const fs::path& run, const fs::path& expected, int64_t step) {
  const auto files = testing::file_bytes(checkpoint_path(run, step));
  for (const auto& [name, bytes] : testing::file_bytes(checkpoint_path(expected, step))) {
    if (!name.ends_with(".safetensors")) continue;
    EXPECT_TRUE(files.contains(name) && files.at(name) == bytes)
        << run << ", " << step << " " << name;
  }
}

Fault random_fault(RandomStream& stream) {
  return {.step = stream.integer(1, kSteps - 1), .rank = stream.integer(0, kRanks - 1)};
}

TEST_P(NonFiniteRuns, NoWeightTakesInANaN) {
  run_ranks(kRanks, [](const World& world) {
    const SharedFolder shared(world);
    const fs::path straight = shared.path() / "straight";
    EXPECT_EQ(train(config_of(GetParam(), OnNonfinite::kStop), world, straight, {}), "");

    RandomStream stream(31);
    for (int64_t trial = 0; trial < gear::testing::scaled(4); ++trial) {
      const std::string number = std::to_string(trial);
      Fault fault = random_fault(stream);
      const std::string step = "step " + std::to_string(fault.step + 1) + ": ";

      const fs::path stopped = shared.path() / ("stop" + number);
      EXPECT_THAT(train(config_of(GetParam(), OnNonfinite::kStop), world, stopped, fault),
                  ::testing::StartsWith(step));
      expect_same_tensors(stopped, straight, fault.step);

      const fs::path back = shared.path() / ("rollback" + number);
      EXPECT_EQ(train(config_of(GetParam(), OnNonfinite::kRollback), world, back, fault), "");
      expect_same_tensors(back, straight, kSteps);

      fault.passing = false;
      for (const auto choice : {OnNonfinite::kSkip, OnNonfinite::kRollback}) {
        const fs::path run = shared.path() / (config::detail::format(choice) + "_bad" + number);
        EXPECT_EQ(train(config_of(GetParam(), choice), world, run, fault), "");
        expect_same_tensors(run, straight, fault.step);
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, NonFiniteRuns,
                         ::testing::Values(Case{RecipeKind::kTokenizer, ShardMode::kNone},
                                           Case{RecipeKind::kTokenizer, ShardMode::kFull},
                                           Case{RecipeKind::kGear, ShardMode::kNone},
                                           Case{RecipeKind::kGear, ShardMode::kOptimizer},
                                           Case{RecipeKind::kGear, ShardMode::kFull}),
                         name_of);

}  // namespace
}  // namespace gear::train
