// Small files that claim much: they are refused, or read, without taking much memory or time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "gear/io/image.h"
#include "gear/io/mapped_file.h"
#include "io/image_bytes.h"
#include "io/memory_limit.h"
#include "io/peak_memory.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr double kLittleMib = 32.0;

std::string refusal(const std::string& bytes, const DecodeOptions& options = {}) {
  return error_of([&] { decode_image(bytes, "a.img", options); });
}

TEST(ImageLimits, AWidePngIsRefusedBeforeRowsAreAllocated) {
  if (!kMemoryCanBeLimited) GTEST_SKIP() << kMemoryCannotBeLimited;
  const std::string png =
      make_png({.width = 0x7fffffff, .depth = 16, .colour_type = 6, .interlace = 1});
  EXPECT_EQ(error_with_memory(200, [&] { decode_image(png, "a.img"); }),
            "a.img: too large: 2147483647 x 1 pixels are more than the limit of 50 megapixels");
}

TEST(ImageLimits, PackedTextsAndProfilesOfAPngAreNotUnfolded) {
  const std::string packed = deflated(std::string(7'000'000, 'x'));
  std::string chunks = png_chunk("iCCP", std::string("p\0\0", 3) + packed) +
                       png_chunk("eXIf", "no EXIF at all") + png_chunk("tEXt", "no separator");
  for (int i = 0; i < 100; ++i) {
    chunks += png_chunk("zTXt", std::string("k\0\0", 3) + packed);
    chunks += png_chunk("iTXt", std::string("k\0\1\0\0\0", 6) + packed);
  }
  const std::string png = make_png({.before_data = chunks, .rows = bytes_of({0, 7})});
  const PeakMemory memory;
  EXPECT_THAT(decode_image(png, "a.png").pixels, Each(7));
  EXPECT_LT(memory.growth_mib(), kLittleMib);
}

TEST(ImageLimits, TilesOfATiffMustFitItsPicture) {
  const auto tiled = [](uint32_t width, uint32_t tile_width, uint32_t tile_height) {
    return make_tiff({{TIFFTAG_IMAGEWIDTH, width},
                      {TIFFTAG_IMAGELENGTH, 1},
                      {TIFFTAG_BITSPERSAMPLE, 8},
                      {TIFFTAG_COMPRESSION, COMPRESSION_NONE},
                      {TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK},
                      {TIFFTAG_SAMPLESPERPIXEL, 1},
                      {TIFFTAG_TILEWIDTH, tile_width},
                      {TIFFTAG_TILELENGTH, tile_height},
                      {TIFFTAG_TILEOFFSETS, 8},
                      {TIFFTAG_TILEBYTECOUNTS, 16}});
  };
  const PeakMemory memory;
  EXPECT_EQ(refusal(tiled(40'000'000, 40'000'000, 4096)),
            "a.img: damaged TIFF: it has tiles of 40000000 x 4096 pixels for a picture of "
            "40000000 x 1");
  EXPECT_THAT(refusal(tiled(16, 16'000, 16'000)), HasSubstr("tiles of 16000 x 16000 pixels"));
  EXPECT_LT(memory.growth_mib(), kLittleMib);
}

TEST(ImageLimits, AJpegOfEndlessScansIsRefused) {
  const std::string jpeg = make_jpeg({.pixel = {10, 20, 30}, .progressive = true});
  const size_t scan = jpeg.rfind("\xFF\xDA");
  const std::string last_scan = jpeg.substr(scan, jpeg.size() - 2 - scan);
  std::string many = jpeg.substr(0, scan);
  for (int i = 0; i < 600; ++i) many += last_scan;
  EXPECT_EQ(refusal(many + "\xFF\xD9"), "a.img: damaged JPEG: more than 500 scans");
}

constexpr const char* kNoMemory =
    "a.img: there is not enough memory for its pixels; free memory or lower the limit of "
    "megapixels";

TEST(ImageLimits, LackOfMemoryIsAnErrorOfTheImage) {
  if (!kMemoryCanBeLimited) GTEST_SKIP() << kMemoryCannotBeLimited;
  const std::string bitmap = "P4\n10000 10000\n" + std::string(12'500'000, '\0');  // 300 MB as RGB
  const DecodeOptions options{.max_megapixels = 1e9};
  EXPECT_EQ(error_with_memory(200, [&] { decode_image(bitmap, "a.img", options); }), kNoMemory);
}

TEST(ImageLimits, MorePixelsThanCanBeCountedAreAnErrorOfTheImage) {
  const std::string side = little_endian(0x7fffffff);
  const std::string bmp = "BM" + little_endian(0) + little_endian(0) + little_endian(54) +
                          little_endian(40) + side + side + little_endian(1, 2) +
                          little_endian(24, 2) + std::string(24, '\0');
  EXPECT_EQ(refusal(bmp, {.max_megapixels = 1e30}), kNoMemory);
}

TEST(MappedFile, ANamedPipeIsRefusedWithoutWaiting) {
  const TemporaryFolder folder;
  const auto pipe = folder / "x.png";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { read_image(pipe); }),
            pipe.string() + ": expected a file, found a named pipe");
  EXPECT_EQ(error_of([&] { read_image(folder.path()); }),
            folder.path().string() + ": expected a file, found a folder");
  EXPECT_EQ(error_of([&] { read_image("/dev/null"); }),
            "/dev/null: expected a file, found a device");
}

}  // namespace
}  // namespace gear::io
