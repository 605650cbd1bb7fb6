// Files of 10 GB, sparse on the disk: opening one and reading a tensor must not cost its size.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"
#include "io/peak_memory.h"
#include "io/pickle_builder.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

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

TEST(BigFile, OfTorchSaveBefore16WithAlignedStoragesIsOpenedAndReadWithinAHundredMegabytes) {
  using namespace pickled;
  const TemporaryFolder folder;
  constexpr int32_t kDoubles = kBigBytes / 8;
  const auto body_with = [&](const std::string& filler) {
    return dict({{"big", tensor(storage("1", kDoubles, "DoubleStorage"), {kDoubles}, {1})},
                 {"small", tensor(storage("0", 4), {4}, {1})},
                 {"filler", text(filler)}});
  };
  // A storage that is not aligned for its type would be copied, so text fills the difference.
  std::string head;
  for (std::string filler; head.empty() || head.size() % sizeof(double) != 0; filler += 'x') {
    head = legacy_pickles(body_with(filler), {"0", "1"});
    append_number(head, 4, 8);
    head += floats({1, 2, 3, 4});
    append_number(head, kDoubles, 8);
  }
  write_sparse(folder / "x.pt", head, head.size() + kBigBytes);

  const PeakMemory memory;
  const TorchArchive archive(folder / "x.pt");
  EXPECT_EQ(archive.root().find("big")->tensor.numel(), kDoubles);
  EXPECT_EQ(archive.root().find("small")->tensor.sum().item<float>(), 10.0F);
  EXPECT_LT(memory.growth_mib(), kMostMib);
}

}  // namespace
}  // namespace gear::io
