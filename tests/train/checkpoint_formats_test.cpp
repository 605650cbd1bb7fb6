// Checkpoints that versions of gear have written, under tests/train/checkpoints/format-N/: by one
// rank, and since format 2 by two ranks of parallel.shard: full.

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "gear/train/checkpoint.h"
#include "project_folders.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;

/// What every golden checkpoint holds.
std::vector<TensorGroup> stored_groups() {
  const auto ramp = at::arange(6, at::kFloat).view({2, 3});
  return {{"net",
           {{"weight", ramp + 0.5},
            {"half", at::arange(5, at::kBFloat16)},
            {"count", at::full({}, 4, at::kLong)},
            {"none", at::empty({0, 3})}}},
          {"optimizer", {{"weight.exp_avg", ramp * -2}, {"step", at::full({}, 7.0)}}}};
}

class StoredFormat : public ::testing::TestWithParam<int> {
 protected:
  const fs::path folder_ = fs::path(GEAR_SOURCE_DIR) / "tests/train/checkpoints" /
                           ("format-" + std::to_string(GetParam())) / "step-00000007";
};

TEST_P(StoredFormat, IsVerifiedAndLoaded) {
  const Checkpoint checkpoint(folder_);
  checkpoint.verify();
  EXPECT_EQ(checkpoint.groups(), (std::vector<std::string>{"net", "optimizer"}));
  const RunPosition& position = checkpoint.position();
  EXPECT_EQ(position.step, 7);
  EXPECT_EQ(position.micro_batches, 14);
  EXPECT_EQ(position.samples, 112);
  EXPECT_EQ(position.seed, 9);
  EXPECT_EQ(position.data, (DataFingerprint{.images = 40, .names_sha256 = std::string(64, 'a')}));

  const auto expected = stored_groups();
  auto loaded = expected;
  for (TensorGroup& group : loaded) {
    for (auto& [name, tensor] : group.tensors) tensor = at::zeros_like(tensor);
  }
  checkpoint.load(loaded);
  for (size_t i = 0; i < expected.size(); ++i) {
    for (size_t j = 0; j < expected[i].tensors.size(); ++j) {
      const auto& [name, tensor] = expected[i].tensors[j];
      EXPECT_TRUE(loaded[i].tensors[j].second.equal(tensor)) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryVersion, StoredFormat, ::testing::Values(1, 2));

}  // namespace
}  // namespace gear::train
