// An archive of torch.save of 10 GB, sparse on the disk: its checksums make opening it read all of
// it, which must not keep all of it in memory.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include "gear/io/torch_archive.h"
#include "io/peak_memory.h"
#include "io/pickle_builder.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

constexpr uint64_t kAlignment = 64;

/// The checksum of `size` zeros, by halves.
uLong crc_of_zeros(uint64_t size) {
  if (size == 0) return ::crc32(0, nullptr, 0);
  const Bytef zero = 0;
  if (size == 1) return ::crc32(0, &zero, 1);
  const uint64_t half = size / 2;
  const uLong crc = crc_of_zeros(half);
  const uLong both = crc32_combine(crc, crc, static_cast<z_off_t>(half));
  return size % 2 == 0 ? both : crc32_combine(both, crc_of_zeros(1), 1);
}

std::string zeros(size_t count) { return std::string(count, '\0'); }

/// Writes a zip file of stored records piece by piece, with 64-bit sizes and offsets throughout.
class Zip64File {
 public:
  explicit Zip64File(std::filesystem::path path) : path_(std::move(path)) {
    write_bytes(path_, "");
  }

  void add(const std::string& name, const std::string& data) {
    const auto* bytes = reinterpret_cast<const Bytef*>(data.data());
    begin_record(name, ::crc32(0, bytes, static_cast<uInt>(data.size())), data.size());
    append(data);
  }
  /// `size` zeros, which take no space.
  void add_zeros(const std::string& name, uint64_t size) {
    begin_record(name, crc_of_zeros(size), size);
    std::filesystem::resize_file(path_, std::filesystem::file_size(path_) + size);
  }
  void finish() {
    const uint64_t begin = std::filesystem::file_size(path_);
    std::string end = directory_;
    append_number(end, 0x06064b50, 4);
    append_number(end, 44, 8);
    end += zeros(12);
    append_number(end, records_, 8);
    append_number(end, records_, 8);
    append_number(end, directory_.size(), 8);
    append_number(end, begin, 8);
    append_number(end, 0x07064b50, 4);
    append_number(end, 0, 4);
    append_number(end, begin + directory_.size(), 8);
    append_number(end, 1, 4);
    append_number(end, 0x06054b50, 4);
    append_number(end, 0, 4);
    append_number(end, UINT64_MAX, 8);
    append_number(end, UINT64_MAX, 4);
    append_number(end, 0, 2);
    append(end);
  }

 private:
  void append(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::app) << bytes;
  }

  void begin_record(const std::string& name, uLong crc, uint64_t size) {
    const uint64_t offset = std::filesystem::file_size(path_);
    std::string local;
    append_number(local, 0x04034b50, 4);
    local += zeros(22);  // what the reader takes from the directory
    append_number(local, name.size(), 2);
    // Padded as PyTorch does: data that are not aligned are copied instead of mapped.
    const uint64_t unpadded = offset + local.size() + 2 + name.size();
    const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
    append_number(local, padding, 2);
    append(local + name + zeros(padding));
    append_number(directory_, 0x02014b50, 4);
    directory_ += zeros(12);
    append_number(directory_, crc, 4);
    append_number(directory_, UINT64_MAX, 8);  // both sizes and
    append_number(directory_, name.size(), 2);
    append_number(directory_, 28, 2);
    directory_ += zeros(10);
    append_number(directory_, UINT64_MAX, 4);  // the offset stand in the extra field
    directory_ += name;
    append_number(directory_, 1, 2);
    append_number(directory_, 24, 2);
    for (const uint64_t value : {size, size, offset}) append_number(directory_, value, 8);
    ++records_;
  }

  std::filesystem::path path_;
  std::string directory_;
  uint64_t records_ = 0;
};

TEST(BigArchive, OfTorchSaveIsOpenedAndReadWithinAHundredMegabytes) {
  using namespace pickled;
  const TemporaryFolder folder;
  constexpr int32_t kDoubles = 1'250'000'000;
  Zip64File zip(folder / "x.pt");
  zip.add("archive/data.pkl",
          whole(dict({{"big", tensor(storage("1", kDoubles, "DoubleStorage"), {kDoubles}, {1})},
                      {"small", tensor(storage("0", 4), {4}, {1})}})));
  zip.add("archive/data/0", floats({1, 2, 3, 4}));
  zip.add_zeros("archive/data/1", 8ULL * kDoubles);
  zip.finish();

  const PeakMemory memory;
  const TorchArchive archive(folder / "x.pt");
  EXPECT_EQ(archive.root().find("big")->tensor->values().numel(), kDoubles);
  EXPECT_EQ(archive.root().find("small")->tensor->values().sum().item<float>(), 10.0F);
  EXPECT_LT(memory.growth_mib(), 100.0);
}

}  // namespace
}  // namespace gear::io
