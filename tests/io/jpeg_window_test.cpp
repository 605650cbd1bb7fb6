// A JPEG of which only a window is wanted: what lies in it must not change.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/io/image.h"
#include "io/image_bytes.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::Each;

constexpr int64_t kWidth = 203, kHeight = 149;  // no whole blocks

/// Edges and gradients in all channels, so that neighbours matter wherever they are interpolated.
std::vector<uint8_t> varied_pixels(int components) {
  std::vector<uint8_t> pixels;
  uint32_t noise = 1;
  for (int64_t y = 0; y < kHeight; ++y) {
    for (int64_t x = 0; x < kWidth; ++x) {
      for (int c = 0; c < components; ++c) {
        noise = noise * 1664525 + 1013904223;
        const int64_t stripes = (x * (c + 1) / 5 + y / (c + 3)) % 2 * 120;
        pixels.push_back(static_cast<uint8_t>(stripes + (noise >> 26) + x / 4));
      }
    }
  }
  return pixels;
}

struct Kind {
  const char* name;
  JpegParts parts;
};

std::vector<Kind> kinds() {
  const auto colour = [](int across, int down, bool progressive) {
    return JpegParts{.width = kWidth,
                     .height = kHeight,
                     .pixels = varied_pixels(3),
                     .progressive = progressive,
                     .luma_across = across,
                     .luma_down = down};
  };
  const JpegParts grey = {.width = kWidth,
                          .height = kHeight,
                          .components = 1,
                          .input = JCS_GRAYSCALE,
                          .stored = JCS_GRAYSCALE,
                          .pixels = varied_pixels(1)};
  return {{"4:4:4", colour(1, 1, false)},
          {"4:2:2", colour(2, 1, false)},
          {"4:2:0", colour(2, 2, false)},
          {"4:4:0", colour(1, 2, false)},
          {"4:1:1", colour(4, 1, false)},
          {"4:2:0 progressive", colour(2, 2, true)},
          {"4:4:4 progressive", colour(1, 1, true)},
          {"grey", grey}};
}

DecodeOptions wanting(const Window& window) {
  return {.wanted = [window](int64_t height, int64_t width) {
    EXPECT_EQ(height, kHeight);
    EXPECT_EQ(width, kWidth);
    return window;
  }};
}

const std::vector<Window> kWindows = {
    {0, 0, kHeight, kWidth}, {0, 0, 1, 1},        {kHeight - 1, kWidth - 1, 1, 1},
    {0, 40, kHeight, 60},    {30, 0, 20, kWidth}, {17, 33, 1, 1},
    {15, 31, 34, 66},        {16, 32, 32, 64},    {100, 130, 49, 73},
    {1, 1, 147, 201},        {63, 100, 16, 8},    {120, 0, 29, 9}};

TEST(JpegWindow, HoldsThePixelsOfTheWholePicture) {
  for (const Kind& kind : kinds()) {
    const std::string bytes = make_jpeg(kind.parts);
    const Image whole = decode_image(bytes, "a.jpg");
    for (const Window& window : kWindows) {
      const Image part = decode_image(bytes, "a.jpg", wanting(window));
      ASSERT_EQ(part.width, kWidth);
      ASSERT_EQ(part.height, kHeight);
      for (int64_t y = window.top; y < window.top + window.height; ++y) {
        const auto row = [&](const Image& image) {
          const uint8_t* first = image.row(y) + 3 * window.left;
          return std::vector<uint8_t>(first, first + 3 * window.width);
        };
        ASSERT_EQ(row(part), row(whole))
            << kind.name << ", row " << y << " of window " << window.top << " " << window.left;
      }
    }
  }
}

TEST(JpegWindow, LeavesOutWhatLiesFarAway) {
  const std::string bytes = make_jpeg(kinds()[2].parts);
  const Image part = decode_image(bytes, "a.jpg", wanting({64, 96, 16, 16}));
  EXPECT_THAT(std::vector<uint8_t>(part.row(0), part.row(60)), Each(0));
  EXPECT_THAT(std::vector<uint8_t>(part.row(70), part.row(70) + 3 * 64), Each(0));
}

TEST(JpegWindow, DamageBelowTheWindowIsFound) {
  const std::string bytes = make_jpeg(kinds()[2].parts);
  const std::string cut = bytes.substr(0, bytes.size() * 3 / 4);
  EXPECT_EQ(error_of([&] {
              decode_image(cut, "a.jpg", wanting({0, 0, 8, 8}));
            }),
            "a.jpg: damaged JPEG: Premature end of input file");
}

TEST(JpegWindow, ATurnedPictureIsDecodedWhole) {
  const std::string tag =
      little_endian(0x0112, 2) + little_endian(3, 2) + little_endian(1) + little_endian(3);
  std::string exif("Exif\0\0II*\0", 10);
  exif += little_endian(8) + little_endian(1, 2) + tag + little_endian(0);
  auto parts = kinds()[2].parts;
  parts.app1 = exif;
  const std::string bytes = make_jpeg(parts);
  auto options = wanting({0, 0, 8, 8});
  options.exif = Exif::kApply;
  const Image whole = decode_image(bytes, "a.jpg", {.exif = Exif::kApply});
  EXPECT_EQ(decode_image(bytes, "a.jpg", options).pixels, whole.pixels);
}

}  // namespace
}  // namespace gear::io
