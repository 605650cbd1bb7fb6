// What reading samples costs, and what happens when the machine refuses it.

#include "data/sample_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/pictures.h"
#include "gear/core/error.h"
#include "gear/data/held_out.h"
#include "gear/data/loader.h"
#include "io/memory_limit.h"
#include "io/peak_memory.h"
#include "io/temporary_folder.h"

namespace gear::data {
namespace {

using io::error_of;
using io::TemporaryFolder;
using ::testing::HasSubstr;

std::shared_ptr<const ImageFolder> folder_of(const TemporaryFolder& folder) {
  return std::make_shared<const ImageFolder>(folder.path());
}

TEST(SampleReader, AThinPictureCostsNoMoreThanASquareOne) {
  const TemporaryFolder folder;
  io::write_png(folder / "a/flat.png", test_picture(20000, 1));
  io::write_png(folder / "a/tall.png", test_picture(1, 20000));
  const DataConfig config;  // 256 pixels, where the whole scaled picture would take 3.9 GB
  const int64_t plane = config.image_size * config.image_size;
  std::vector<uint8_t> out(static_cast<size_t>(3 * plane));
  const io::PeakMemory memory;
  SampleReader reader(folder_of(folder), config, Filter::kBicubic);
  for (int pass = 0; pass < 2; ++pass) {
    ASSERT_TRUE(reader.read(0, centre_cut(config.image_size), out.data()));
    for (int64_t x = 0; x < config.image_size; ++x) {  // every row is the one that there was
      EXPECT_EQ(out[static_cast<size_t>(x)],
                out[static_cast<size_t>(plane - config.image_size + x)]);
    }
    ASSERT_TRUE(reader.read(1, centre_cut(config.image_size), out.data()));
    EXPECT_EQ(out[0], out[static_cast<size_t>(config.image_size - 1)]);
  }
  EXPECT_EQ(read_held_out(folder / "a/tall.png", config).flatten()[0].item<uint8_t>(), out[0]);
  EXPECT_LT(memory.growth_mib(), 64.0);
}

TEST(ImageCache, KeepsWhatFitsAndNothingMuchLargerThanASquare) {
  ImageCache cache(3, /*side=*/8, /*budget_bytes=*/5000);
  EXPECT_TRUE(cache.fits({8, 8}));
  EXPECT_TRUE(cache.fits({8, 128}));
  EXPECT_FALSE(cache.fits({8, 129}));
  cache.insert(0, std::make_shared<const io::Image>(128, 8));  // 3072 bytes
  EXPECT_TRUE(cache.fits({8, 80}));
  EXPECT_FALSE(cache.fits({8, 81}));
  EXPECT_FALSE(ImageCache(3, 8, 575).fits({8, 8}));  // not even squares of all three
}

TEST(SampleReader, APictureWithoutMemoryForItIsABadOne) {
  if (!io::kMemoryCanBeLimited) GTEST_SKIP() << io::kMemoryCannotBeLimited;
  const TemporaryFolder folder;
  io::write_png(folder / "a/good.png", test_picture(20, 20));
  // A bitmap of one bit a pixel, 300 MB as RGB.
  io::write_bytes(folder / "a/huge.ppm", "P4\n10000 10000\n" + std::string(12'500'000, '\0'));
  DataConfig config;
  config.image_size = 16;
  config.max_megapixels = 200;
  config.max_bad_share = 0.4;
  const std::string message = io::error_with_memory(200, [&] {
    std::vector<uint8_t> out(3 * 16 * 16);
    SampleReader reader(folder_of(folder), config, Filter::kBicubic);
    if (!reader.read(0, centre_cut(16), out.data())) fail("the good one was not read");
    reader.read(1, centre_cut(16), out.data());
  });
  EXPECT_EQ(message, "1 of 2 images cannot be read, more than data.max_bad_share (0.4) allows: " +
                         (folder / "a/huge.ppm").string() +
                         "; repair or remove them, or for training raise data.max_bad_share");
}

TEST(Loader, ThreadsThatTheSystemRefusesAreAnErrorOfTheirSetting) {
  if (!io::kMemoryCanBeLimited) GTEST_SKIP() << io::kMemoryCannotBeLimited;
  const TemporaryFolder folder;
  write_picture_folder(folder.path(), 8);
  DataConfig config;
  config.image_size = 16;
  config.batch_size = 4;
  config.workers = 1000;
  const std::string message = io::error_with_memory(
      200, [&] { Loader(folder_of(folder), config, {.micro_batch_size = 4}); });
  EXPECT_THAT(message,
              HasSubstr("data.workers: cannot start 1000 threads, the system refused after "));
  EXPECT_THAT(message, HasSubstr("; lower it or raise the system's limits (ulimit -u, -v)"));
}

TEST(HeldOut, DecodesAsTheConfigurationSays) {
  const TemporaryFolder folder;
  // 16-bit grey of the value 0x8000, which is clipped to white or scaled to 128.
  io::write_bytes(folder / "deep.pgm", "P5 16 16 65535\n" + std::string(16 * 16 * 2, '\x80'));
  DataConfig config;
  config.image_size = 16;
  EXPECT_EQ(read_held_out(folder / "deep.pgm", config).min().item<uint8_t>(), 255);
  config.sixteen_bit = io::SixteenBit::kScale;
  EXPECT_EQ(read_held_out(folder / "deep.pgm", config).max().item<uint8_t>(), 128);
  config.max_megapixels = 1e-6;
  EXPECT_THAT(error_of([&] { read_held_out(folder / "deep.pgm", config); }),
              HasSubstr("deep.pgm: too large: 16 x 16 pixels"));
}

}  // namespace
}  // namespace gear::data
