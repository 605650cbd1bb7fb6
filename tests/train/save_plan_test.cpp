#include "train/save_plan.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <cstring>

#include "dist/group.h"
#include "gear/core/random.h"
#include "gear/io/hash.h"
#include "train/part_writer.h"
#include "train/shards.h"

namespace gear::train {
namespace {

using testing::pieces_of;

/// A world that can tell who and how many it is, and nothing else.
dist::World world_of(int64_t rank, int64_t size) {
  auto group = std::make_shared<dist::World::Group>();
  group->rank = rank;
  group->size = size;
  return dist::World(std::move(group));
}

TensorGroup group_of(RandomStream& stream) {
  constexpr at::ScalarType kTypes[] = {at::kFloat, at::kBFloat16, at::kLong, at::kByte};
  TensorGroup group{"net", {}};
  const int64_t count = stream.integer(1, 8);
  for (int64_t i = 0; i < count; ++i) {
    const at::ScalarType type = kTypes[stream.integer(0, 3)];
    const int64_t rows = stream.integer(0, 200);
    group.tensors.emplace_back("t" + std::to_string(i),
                               at::randint(0, 100, {rows, stream.integer(1, 60)}).to(type));
  }
  return group;
}

/// Puts the planned bytes of a rank into the file; fails when one was there already.
void put(const PlannedFile& planned, std::string& file, std::vector<int>& writers) {
  for (const PlannedPart& part : planned.parts) {
    uint64_t position = part.offset;
    for (const Segment& segment : part.segments) {
      const Tensor values = segment.elements().contiguous();
      ASSERT_EQ(values.nbytes(), segment.bytes());
      std::memcpy(file.data() + position, values.const_data_ptr(), values.nbytes());
      for (uint64_t i = 0; i < values.nbytes(); ++i) ++writers[position + i];
      position += values.nbytes();
    }
    EXPECT_EQ(position, part.offset + part.bytes);
  }
}

std::string bytes_of_one_rank(const TensorGroup& group) {
  const auto plan = plan_save({group}, {});
  std::string file = plan[0].layout.head;
  file.resize(plan[0].layout.bytes);
  std::vector<int> writers(file.size());
  put(plan[0], file, writers);
  return file;
}

TEST(SavePlan, EveryByteIsWrittenByOneOfTheRanksThatHoldIt) {
  RandomStream stream(5);
  for (int trial = 0; trial < 60; ++trial) {
    const TensorGroup group = group_of(stream);
    const int64_t shards = stream.integer(1, 6);
    const int64_t replicas = stream.integer(1, 3);
    const std::vector<std::string> whole = {"t0", "t3", "t4"};
    const std::string expected = bytes_of_one_rank(group);
    std::string file;
    std::vector<int> writers(expected.size());
    for (int64_t rank = 0; rank < shards * replicas; ++rank) {
      const SaveLayout layout{.world = world_of(rank, shards * replicas),
                              .replica = rank / shards,
                              .replicas = replicas};
      const auto plan = plan_save({pieces_of(group, rank % shards, shards, whole)}, layout);
      file.resize(plan[0].layout.bytes);
      file.replace(0, plan[0].layout.head.size(), plan[0].layout.head);
      put(plan[0], file, writers);
    }
    EXPECT_EQ(file, expected) << "trial " << trial;
    const size_t head = plan_save({group}, {})[0].layout.head.size();
    for (size_t i = head; i < writers.size(); ++i) {
      ASSERT_EQ(writers[i], 1) << "byte " << i << ", trial " << trial;
    }
  }
}

TEST(SavePlan, RanksWriteEquallyMuchOfWhatAllOfThemHold) {
  const TensorGroup group{"net", {{"a", at::empty({3000, 100})}, {"b", at::empty({7})}}};
  for (const int64_t ranks : {2, 3, 64, 1024}) {
    for (int64_t rank = 0; rank < ranks; ++rank) {
      uint64_t bytes = 0;
      const auto plan = plan_save({group}, {.world = world_of(rank, ranks)});
      for (const PlannedPart& part : plan[0].parts) bytes += part.bytes;
      EXPECT_LE(bytes, 1'200'028 / ranks + 2 * 4096) << rank << " of " << ranks;
    }
  }
}

TEST(SavePlan, LongStretchesBecomeSeveralParts) {
  const auto plan = plan_save({{"net", {{"a", at::empty({40 << 20}, at::kFloat)}}}}, {});
  ASSERT_EQ(plan[0].parts.size(), 3U);
  EXPECT_EQ(plan[0].parts[1].bytes, 64U << 20);
  EXPECT_EQ(plan[0].parts[2].bytes, 32U << 20);
}

TEST(SavePlan, APieceThatLeavesItsTensorIsADefect) {
  TensorGroup group{"net", {{"a", at::empty({4})}}};
  group.shards["a"] = {.shape = {2, 3}, .offset = 3};
  EXPECT_THROW(plan_save({group}, {}), c10::Error);
  group.shards["a"].offset = 2;
  plan_save({group}, {});
}

TEST(SavePlan, IsKeptAsLongAsNamesAndMemoryAreTheSame) {
  const auto a = at::rand({6});
  const std::vector<TensorGroup> groups = {{"net", {{"a", a}, {"b", at::rand({2})}}}};
  auto other = groups;
  EXPECT_TRUE(same_tensors(groups, other));
  other[0].tensors[0].second = a.view({6});
  EXPECT_TRUE(same_tensors(groups, other));
  other[0].tensors[0].second = a.view({2, 3});
  EXPECT_FALSE(same_tensors(groups, other));
  other[0].tensors[0].second = a.clone();
  EXPECT_FALSE(same_tensors(groups, other));
  other = groups;
  other[0].shards["a"] = {.shape = {12}, .offset = 6};
  EXPECT_FALSE(same_tensors(groups, other));
  other = groups;
  other[0].tensors[1].first = "c";
  EXPECT_FALSE(same_tensors(groups, other));
  EXPECT_FALSE(same_tensors(groups, {}));
}

TEST(JoinParts, NamesWhatNoRankOrTwoRanksHaveWritten) {
  const TensorGroup group{"net", {{"a", at::arange(6)}}};
  const auto plan = plan_save({group}, {});
  const auto told = [&](const std::string& parts) {
    return R"([{"head":")" + io::sha256_of_bytes(plan[0].layout.head) + R"(","parts":)" + parts +
           "}]";
  };
  const auto message = [&](const std::vector<std::string>& texts) -> std::string {
    try {
      join_parts(plan, texts);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "";
  };
  const uint64_t begin = plan[0].layout.head.size();
  const auto part = [&](uint64_t offset, uint64_t bytes) {
    return "[" + std::to_string(begin + offset) + "," + std::to_string(bytes) + R"(,"sum"])";
  };
  EXPECT_EQ(message({told("[" + part(24, 24) + "]"), told("[" + part(0, 24) + "]")}), "");
  EXPECT_EQ(message({told("[]"), told("[" + part(0, 24) + "]")}),
            "checkpoint: net.safetensors: written up to byte " + std::to_string(begin + 24) +
                " of " + std::to_string(begin + 48));
  EXPECT_EQ(message({told("[" + part(0, 48) + "]"), told("[" + part(40, 8) + "]")}),
            "checkpoint: net.safetensors: rank 1 wrote from byte " + std::to_string(begin + 40) +
                ", expected from " + std::to_string(begin + 48));
  EXPECT_EQ(message({told("[]"), R"([{"head":"other","parts":[]}])"}),
            "checkpoint: rank 1 has other tensors in net.safetensors than rank 0");
}

}  // namespace
}  // namespace gear::train
