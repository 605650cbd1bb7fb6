// Checkpoints that several processes write and read together.

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "gear/io/file_calls.h"
#include "gear/io/hash.h"
#include "gear/train/checkpoint.h"
#include "io/peak_memory.h"
#include "train/shards.h"
#include "train/shared_folder.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using dist::World;
using dist::testing::run_ranks;
using testing::file_bytes;
using ::testing::HasSubstr;
using testing::message_of;
using testing::pieces_of;
using testing::read_text;
using testing::SharedFolder;
using testing::TemporaryFolder;

const std::vector<std::string> kWhole = {"count", "table"};

/// Whole tensors, the same on every rank.
std::vector<TensorGroup> whole_groups(double value) {
  return {{"net",
           {{"weight", at::arange(6000, at::kFloat).view({60, 100}) + value},
            {"half", at::arange(50, at::kBFloat16) * value},
            {"count", at::full({}, 4, at::kLong)}}},
          {"optimizer",
           {{"moment", at::arange(77, at::kFloat) * value},
            {"table", at::arange(5000, at::kFloat) - value}}}};
}

std::vector<TensorGroup> pieces(double value, int64_t rank, int64_t ranks) {
  std::vector<TensorGroup> groups;
  for (const TensorGroup& group : whole_groups(value)) {
    groups.push_back(pieces_of(group, rank, ranks, kWhole));
  }
  return groups;
}

fs::path save(const CheckpointStore& store, int64_t step, const std::vector<TensorGroup>& groups) {
  return store.save({.step = step, .seed = 9}, "seed: 9\n", groups);
}

fs::path save(const CheckpointStore& store, int64_t step, const World& world) {
  return save(store, step, pieces(static_cast<double>(step), world.rank(), world.size()));
}

/// Files of a checkpoint but for the manifest, which tells who wrote what.
std::map<std::string, std::string> content_of(const fs::path& checkpoint) {
  auto files = file_bytes(checkpoint);
  files.erase("manifest.json");
  files.erase("manifest.sha256");
  return files;
}

void expect_values(const Checkpoint& checkpoint, double value, int64_t rank, int64_t ranks) {
  auto loaded = pieces(value, rank, ranks);
  for (TensorGroup& group : loaded) group = testing::zeroed(group);
  checkpoint.load(loaded);
  const auto expected = pieces(value, rank, ranks);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(testing::same_values(loaded[i], expected[i]))
        << expected[i].name << " on rank " << rank << " of " << ranks;
  }
}

TEST(SharedCheckpoint, SeveralRanksWriteTheBytesThatOneRankWrites) {
  run_ranks(3, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path() / "three", 3, {.world = world, .shard_mode = "full"});
    const fs::path saved = save(store, 7, world);
    EXPECT_EQ(saved, folder.path() / "three" / "step-00000007");
    if (!world.is_first()) return;
    const fs::path alone = save(CheckpointStore(folder.path() / "one", 3), 7, whole_groups(7));
    EXPECT_EQ(content_of(saved), content_of(alone));

    const auto manifest = nlohmann::json::parse(read_text(saved / "manifest.json"));
    EXPECT_EQ(manifest["world_size"], 3);
    EXPECT_EQ(manifest["shard"], "full");
    std::set<int64_t> writers;
    for (const auto& part : manifest["files"]["optimizer.safetensors"]["parts"]) {
      writers.insert(part["rank"].get<int64_t>());
    }
    EXPECT_EQ(writers, (std::set<int64_t>{0, 1, 2})) << "also tensors that all hold are divided";
  });
}

TEST(SharedCheckpoint, IsReadByAnyNumberOfRanks) {
  run_ranks(3, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path(), 3, {.world = world});
    save(store, 7, world);
    const auto newest = store.newest_good();
    ASSERT_TRUE(newest.has_value());
    for (const int64_t ranks : {1, 2, 3, 4, 7}) {
      for (int64_t rank = 0; rank < ranks; ++rank) expect_values(*newest, 7, rank, ranks);
    }
  });
}

TEST(SharedCheckpoint, ARankReadsOnlyItsElements) {
  constexpr int64_t kElements = 16 << 20;  // 64 MiB
  constexpr int64_t kRanks = 16;
  const TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 3);
  save(store, 1, {{"net", {{"weight", at::arange(kElements, at::kFloat)}}}});
  TensorGroup piece{"net", {{"weight", at::empty({kElements / kRanks}, at::kFloat)}}};
  piece.shards["weight"] = {.shape = {kElements}, .offset = 5 * kElements / kRanks};
  const Checkpoint checkpoint = *store.newest_good();
  const io::PeakMemory memory;
  checkpoint.load({piece});
  EXPECT_LT(memory.growth_mib(), 16) << "the piece and its pages of the file are 8 MiB";
  EXPECT_EQ(piece.tensors[0].second[7].item<float>(), 5.0F * kElements / kRanks + 7);
}

TEST(SharedCheckpoint, ReplicasDivideWhatTheyHoldAlike) {
  run_ranks(4, [](const World& world) {
    const SharedFolder folder(world);
    const int64_t shard = world.rank() % 2;
    const CheckpointStore store(folder.path(), 3,
                                {.world = world, .replica = world.rank() / 2, .replicas = 2});
    save(store, 3, pieces(3, shard, 2));
    expect_values(*store.newest_good(), 3, shard, 2);
    const auto manifest =
        nlohmann::json::parse(read_text(folder.path() / "step-00000003" / "manifest.json"));
    for (const auto& part : manifest["files"]["net.safetensors"]["parts"]) {
      EXPECT_LT(part["bytes"].get<int64_t>(), 12000) << "half of a piece of the weight";
    }
  });
}

/// A disk without space for what this process writes at a place.
struct FullDisk : io::FileCalls {
  ssize_t write_at(int, const void*, size_t, off_t) override {
    errno = ENOSPC;
    return -1;
  }
};

TEST(SharedCheckpoint, AFullDiskOfOneRankIsTheErrorOfAll) {
  run_ranks(3, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path(), 3, {.world = world});
    for (const int64_t full : {0, 1, 2}) {
      save(store, 1, world);
      std::string message;
      {
        FullDisk calls;
        std::optional<io::ReplacedFileCalls> replaced;
        if (world.rank() == full) replaced.emplace(calls);
        message = message_of([&] { save(store, 2, world); });
      }
      const std::string by = full == 0 ? "" : "rank " + std::to_string(full) + ": ";
      EXPECT_EQ(message, by + (folder.path() / ".step-00000002.partial/net.safetensors").string() +
                             ": cannot write: No space left on device; free space there or choose "
                             "another output folder");
      world.barrier();
      EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1)
          << "nothing half-written remains";
      EXPECT_EQ(store.newest_good()->position().step, 1);
      save(store, 2, world);
      EXPECT_EQ(store.newest_good()->position().step, 2);
      world.barrier();
      if (world.is_first()) fs::remove_all(folder.path() / "step-00000002");
      world.barrier();
    }
  });
}

TEST(SharedCheckpoint, AFirstRankThatCannotFinishIsTheErrorOfAll) {
  run_ranks(2, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path() / "file" / "checkpoints", 3, {.world = world});
    if (world.is_first()) std::ofstream(folder.path() / "file") << "not a folder";
    world.barrier();
    EXPECT_THAT(message_of([&] { save(store, 2, world); }),
                HasSubstr("cannot create the folder: Not a directory"));
  });
}

TEST(SharedCheckpoint, DamageInTheShareOfOneRankIsSeenByAll) {
  run_ranks(3, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path(), 3, {.world = world});
    save(store, 1, world);
    const fs::path newest = save(store, 2, world);
    const fs::path file = newest / "net.safetensors";
    const std::string good = read_text(file);
    for (size_t position = 0; position < good.size(); position += 4001) {
      world.barrier();
      if (world.is_first()) {
        std::string changed = good;
        changed[position] = static_cast<char>(changed[position] ^ 4);
        std::ofstream(file, std::ios::binary) << changed;
      }
      world.barrier();
      std::string warning;
      const auto found = store.newest_good([&](const std::string& text) { warning = text; });
      EXPECT_EQ(found->position().step, 1);
      EXPECT_EQ(warning, file.string() +
                             ": damaged: its SHA-256 is not the one in manifest.json; "
                             "using step-00000001 instead");
    }
  });
}

TEST(SharedCheckpoint, AFolderThatIsNotSharedIsASentenceOnAllRanks) {
  run_ranks(3, [](const World& world) {
    const SharedFolder shared(world);
    const TemporaryFolder own;
    const bool apart = world.rank() == 2;
    const CheckpointStore store(apart ? own.path() : shared.path(), 3, {.world = world});
    EXPECT_THAT(message_of([&] { save(store, 1, world); }),
                ::testing::MatchesRegex("rank 2: .*/.step-00000001.partial/net.safetensors: cannot "
                                        "open: No such file or directory.*"));
    if (world.is_first()) save(CheckpointStore(shared.path(), 3), 2, whole_groups(2));
    world.barrier();
    EXPECT_THAT(
        message_of([&] { store.newest_good(); }),
        ::testing::MatchesRegex(".*: is not shared between rank 0 on .+ and rank 2 on .+: rank 2 "
                                "does not see step-00000002 of rank 0; choose a folder on a file "
                                "system that all ranks have mounted there"));
  });
}

TEST(SharedCheckpoint, ANewerFormatIsASentenceOnAllRanks) {
  run_ranks(2, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path(), 3, {.world = world});
    const fs::path saved = save(store, 1, world);
    if (world.is_first()) {
      auto manifest = nlohmann::json::parse(read_text(saved / "manifest.json"));
      manifest["format_version"] = 99;
      std::ofstream(saved / "manifest.json") << manifest.dump();
      std::ofstream(saved / "manifest.sha256")
          << io::sha256_of_bytes(manifest.dump()) << "  manifest.json\n";
    }
    world.barrier();
    EXPECT_THAT(message_of([&] { store.newest_good(); }),
                HasSubstr("written in checkpoint format 99"));
  });
}

TEST(SharedCheckpoint, OldOnesAreRemovedByTheFirstRank) {
  run_ranks(2, [](const World& world) {
    const SharedFolder folder(world);
    const CheckpointStore store(folder.path(), 2, {.world = world});
    for (const int64_t step : {1, 2, 3, 4}) save(store, step, world);
    EXPECT_EQ(store.list(), (std::vector<fs::path>{folder.path() / "step-00000003",
                                                   folder.path() / "step-00000004"}));
  });
}

}  // namespace
}  // namespace gear::train
