// Files of 10 GB, sparse on the disk: opening one and reading a tensor must not cost its size.
#include <ATen/core/Tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"
#include "gear/io/weight_parts.h"
#include "io/peak_memory.h"
#include "io/pickle_builder.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::ElementsAre;

constexpr uint64_t kBigBytes = 10'000'000'000;
constexpr double kMostMib = 100.0;

/// `head`, then zeros up to `size` bytes, which take no space.
void write_sparse(const std::filesystem::path& path, const std::string& head, uint64_t size) {
  write_bytes(path, head);
  std::filesystem::resize_file(path, size);
}

TEST(BigFile, OfSafetensorsIsOpenedAndReadWithinAHundredMegabytes) {
  const TemporaryFolder folder;
  const std::string end = std::to_string(kBigBytes);
  const std::string header = R"({"big":{"dtype":"U8","shape":[)" + end + R"(],"data_offsets":[0,)" +
                             end + R"(]},"small":{"dtype":"F32","shape":[4],"data_offsets":[)" +
                             end + "," + std::to_string(kBigBytes + 16) + "]}}";
  std::string head;
  append_number(head, header.size(), 8);
  write_sparse(folder / "x.safetensors", head + header, 8 + header.size() + kBigBytes + 16);

  const PeakMemory memory;
  const SafetensorsFile file(folder / "x.safetensors");
  EXPECT_EQ(file.tensor("big").numel(), static_cast<int64_t>(kBigBytes));
  EXPECT_EQ(file.tensor("small").sum().item<float>(), 0.0F);
  EXPECT_LT(memory.growth_mib(), kMostMib);
}

/// The bytes of an archive of PyTorch before 1.6 whose storage "1" is `doubles` long and lies at
/// its end, not aligned, as that format leaves it; they end where its elements begin.
std::string legacy_head(const std::string& big, int32_t doubles) {
  using namespace pickled;
  for (std::string filler; true; filler += 'x') {
    std::string head = legacy_pickles(
        dict({{"big", big}, {"small", tensor(storage("0", 4), {4}, {1})}, {filler, "N"}}),
        {"0", "1"});
    append_number(head, 4, 8);
    head += floats({1, 2, 3, 4});
    append_number(head, static_cast<uint64_t>(doubles), 8);
    if (head.size() % sizeof(double) == 3) return head;
  }
}

TEST(BigFile, OfTorchSaveBefore16IsOpenedAndReadWithinAHundredMegabytes) {
  using namespace pickled;
  const TemporaryFolder folder;
  constexpr int32_t kDoubles = kBigBytes / 8;
  const auto big = tensor(storage("1", kDoubles, "DoubleStorage"), {kDoubles}, {1});
  const std::string head = legacy_head(big, kDoubles);
  write_sparse(folder / "x.pt", head, head.size() + kBigBytes);

  const PeakMemory memory;
  const TorchArchive archive(folder / "x.pt");
  EXPECT_THAT(archive.root().find("big")->tensor->sizes, ElementsAre(kDoubles));
  EXPECT_EQ(archive.root().find("small")->tensor->values().sum().item<float>(), 10.0F);
  EXPECT_LT(memory.growth_mib(), kMostMib);
}

TEST(BigFile, OfTorchSaveBefore16IsReadTensorByTensorWithinAHundredMegabytes) {
  using namespace pickled;
  const TemporaryFolder folder;
  // 1 GB in all; each small enough that the allocator, which keeps some freed ones, stays low.
  constexpr int32_t kTensors = 250, kEach = 500'000, kDoubles = kTensors * kEach;
  std::string parts = "](";  // one storage, as of parameters that were flattened
  for (int32_t i = 0; i < kTensors; ++i) {
    parts += tensor(storage("1", kDoubles, "DoubleStorage"), {kEach}, {1}, i * kEach);
  }
  const std::string head = legacy_head(parts + "e", kDoubles);
  write_sparse(folder / "x.pt", head, head.size() + 8ULL * kDoubles);

  const PeakMemory memory;
  const WeightFile file = open_weight_file(folder / "x.pt");
  EXPECT_EQ(file.parts.at(0).tensors.size(), static_cast<size_t>(kTensors));
  for (const StoredTensor& stored : file.parts.at(0).tensors) {
    EXPECT_EQ(stored.values().sum().item<double>(), 0.0) << stored.name;
  }
  EXPECT_LT(memory.growth_mib(), kMostMib);
}

}  // namespace
}  // namespace gear::io
