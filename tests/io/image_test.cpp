#include "gear/io/image.h"

#include <ATen/ops/arange.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/image_bytes.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const DecodeOptions kWhite{.alpha = Alpha::kWhite};

std::vector<int> pixels_of(const Image& image) {
  return {image.pixels.begin(), image.pixels.end()};
}

std::vector<int> decoded(const std::string& bytes, const DecodeOptions& options = {}) {
  return pixels_of(decode_image(bytes, "a.img", options));
}

std::string refusal(const std::string& bytes, const DecodeOptions& options = {}) {
  return error_of([&] { decode_image(bytes, "a.img", options); });
}

/// Each value three times, as grey pictures come out.
std::vector<int> grey(const std::vector<int>& values) {
  std::vector<int> rgb;
  for (const int value : values) rgb.insert(rgb.end(), 3, value);
  return rgb;
}

TEST(Image, AnEmptyFileAFolderAndTextAreRefusedWithTheReason) {
  EXPECT_EQ(refusal(""), "a.img: the file is empty (0 bytes)");
  EXPECT_EQ(
      refusal("just text"),
      "a.img: not an image: expected JPEG, PNG, WebP, TIFF, BMP or PNM, got a file that starts "
      "with the bytes 6a 75 73 74");
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { read_image(folder / "none.png"); }), HasSubstr("none.png"));
}

TEST(Image, TheLimitIsCheckedBeforePixelsAreRead) {
  // The header alone claims 100 megapixels; there are no rows that could be decoded.
  const std::string png = make_png({.width = 10000, .height = 10000});
  EXPECT_EQ(refusal(png),
            "a.img: too large: 10000 x 10000 pixels are more than the limit of 50 megapixels");
  EXPECT_THAT(refusal("P6 10000 10000 255\n"), HasSubstr("too large"));
  EXPECT_THAT(refusal(png, {.max_megapixels = 200}), HasSubstr("damaged PNG"));
}

TEST(Image, ZeroWidthIsRefused) {
  EXPECT_THAT(refusal(make_png({.width = 0})), HasSubstr("damaged PNG"));
  EXPECT_EQ(refusal("P5 0 3 255\n"), "a.img: damaged image: its size is 0 x 3 pixels");
}

TEST(PngDecoder, GreyOfFewBitsIsScaledTo255) {
  EXPECT_EQ(decoded(make_png({.width = 4, .depth = 1, .rows = bytes_of({0, 0b10100000})})),
            grey({255, 0, 255, 0}));
  EXPECT_EQ(decoded(make_png({.width = 4, .depth = 2, .rows = bytes_of({0, 0b00011011})})),
            grey({0, 85, 170, 255}));
  EXPECT_EQ(decoded(make_png({.width = 2, .depth = 4, .rows = bytes_of({0, 0x3F})})),
            grey({51, 255}));
}

TEST(PngDecoder, SixteenBitGreyIsClippedUnlessScaled) {
  const std::string png =
      make_png({.width = 3, .depth = 16, .rows = bytes_of({0, 0, 77, 1, 0, 255, 3})});
  DecodeNotes notes;
  EXPECT_EQ(pixels_of(decode_image(png, "a.png", {}, &notes)), grey({77, 255, 255}));
  EXPECT_TRUE(notes.sixteen_bit_grey);
  EXPECT_EQ(decoded(png, {.sixteen_bit = SixteenBit::kScale}), grey({0, 1, 255}));
}

TEST(PngDecoder, SixteenBitColourKeepsTheHighByte) {
  const std::string png =
      make_png({.depth = 16, .colour_type = 2, .rows = bytes_of({0, 12, 255, 34, 1, 255, 0})});
  EXPECT_THAT(decoded(png), ElementsAre(12, 34, 255));
}

TEST(PngDecoder, AlphaIsDroppedOrBlendedOverWhite) {
  const std::string png = make_png(
      {.width = 2, .colour_type = 6, .rows = bytes_of({0, 10, 20, 30, 0, 40, 50, 60, 128})});
  DecodeNotes notes;
  EXPECT_THAT(pixels_of(decode_image(png, "a.png", {}, &notes)),
              ElementsAre(10, 20, 30, 40, 50, 60));
  EXPECT_TRUE(notes.transparent);
  EXPECT_THAT(decoded(png, kWhite), ElementsAre(255, 255, 255, 147, 152, 157));
  EXPECT_EQ(decoded(make_png({.colour_type = 4, .rows = bytes_of({0, 9, 0})})), grey({9}));
}

TEST(PngDecoder, PaletteColoursIgnoreTheirTransparencyAndAreBlackBeyondTheTable) {
  const std::string table = png_chunk("PLTE", bytes_of({1, 2, 3, 4, 5, 6}));
  const std::string transparent = png_chunk("tRNS", bytes_of({0}));
  const std::string png = make_png({.width = 3,
                                    .colour_type = 3,
                                    .before_data = table + transparent,
                                    .rows = bytes_of({0, 0, 1, 200})});
  EXPECT_THAT(decoded(png), ElementsAre(1, 2, 3, 4, 5, 6, 0, 0, 0));
  EXPECT_THAT(decoded(png, kWhite), ElementsAre(255, 255, 255, 4, 5, 6, 0, 0, 0));
}

TEST(PngDecoder, TheTransparentColourIsAColourUnlessBlended) {
  const std::string png = make_png({.width = 2,
                                    .colour_type = 2,
                                    .before_data = png_chunk("tRNS", bytes_of({0, 7, 0, 8, 0, 9})),
                                    .rows = bytes_of({0, 7, 8, 9, 1, 2, 3})});
  EXPECT_THAT(decoded(png), ElementsAre(7, 8, 9, 1, 2, 3));
  EXPECT_THAT(decoded(png, kWhite), ElementsAre(255, 255, 255, 1, 2, 3));
}

TEST(PngDecoder, InterlacedRowsComeOutInOrder) {
  // Adam7 of 2 x 2: pass 1 holds (0, 0), pass 6 holds (1, 0), pass 7 the second row.
  const std::string png = make_png(
      {.width = 2, .height = 2, .interlace = 1, .rows = bytes_of({0, 11, 0, 22, 0, 33, 44})});
  EXPECT_EQ(decoded(png), grey({11, 22, 33, 44}));
}

TEST(PngDecoder, AFileThatEndsBehindTheDataOfItsLastRowIsWhole) {
  const PngParts plain{.width = 4, .height = 2, .rows = bytes_of({0, 1, 2, 3, 4, 0, 5, 6, 7, 8})};
  const PngParts interlaced{
      .width = 2, .height = 2, .interlace = 1, .rows = bytes_of({0, 11, 0, 22, 0, 33, 44})};
  for (const PngParts& parts : {plain, interlaced}) {
    const std::string png = make_png(parts);
    const auto expected = decoded(png);
    constexpr size_t kChecksums = 4 + 4 + 12;  // of zlib, of the chunk, and the chunk IEND
    for (size_t missing = 1; missing <= kChecksums; ++missing) {
      EXPECT_EQ(decoded(png.substr(0, png.size() - missing)), expected) << missing;
    }
    EXPECT_EQ(refusal(png.substr(0, png.size() - kChecksums - 4)),
              "a.img: damaged PNG: the file ends too early");
  }
}

TEST(PngDecoder, DamageIsNamed) {
  const std::string png =
      make_png({.width = 4, .height = 2, .rows = bytes_of({0, 1, 2, 3, 4, 0, 5, 6, 7, 8})});
  EXPECT_EQ(refusal(png.substr(0, 45)), "a.img: damaged PNG: the file ends too early");
  std::string bad_header = png;
  bad_header[20] ^= 1;
  EXPECT_THAT(refusal(bad_header), HasSubstr("damaged PNG: IHDR: CRC error"));
  std::string bad_pixels = png;
  bad_pixels[45] ^= 0x55;
  EXPECT_THAT(refusal(bad_pixels), HasSubstr("damaged PNG"));
}

TEST(JpegDecoder, GreyAndColourKeepAFlatColour) {
  const JpegParts grey_parts{
      .components = 1, .input = JCS_GRAYSCALE, .stored = JCS_GRAYSCALE, .pixel = {77}};
  EXPECT_THAT(decoded(make_jpeg(grey_parts)), Each(77));
  const auto colour = decoded(make_jpeg({.width = 9, .height = 5, .pixel = {200, 200, 200}}));
  EXPECT_EQ(colour.size(), 9U * 5U * 3U);
  EXPECT_THAT(colour, Each(200));
  EXPECT_THAT(decoded(make_jpeg({.pixel = {31, 31, 31}, .progressive = true})), Each(31));
}

TEST(JpegDecoder, InvertedInksBecomeColours) {
  // Stored inverted: C = 255 - 255 = 0, M = 155, Y = 255, K = 255 - 200 = 55, so light = 200 and
  // R = 200 - 0, G = 200 - round(155 * 200 / 255) = 78, B = 0.
  for (const J_COLOR_SPACE stored : {JCS_CMYK, JCS_YCCK}) {
    const JpegParts parts{
        .components = 4, .input = JCS_CMYK, .stored = stored, .pixel = {255, 100, 0, 200}};
    const auto rgb = decoded(make_jpeg(parts));
    EXPECT_NEAR(rgb[0], 200, stored == JCS_YCCK ? 2 : 0);  // YCCK rounds its colour conversion
    EXPECT_NEAR(rgb[1], 78, stored == JCS_YCCK ? 2 : 0);
    EXPECT_NEAR(rgb[2], 0, stored == JCS_YCCK ? 2 : 0);
  }
}

TEST(JpegDecoder, ACutFileIsRefusedEvenIfOnlyTheEndMarkerIsMissing) {
  const std::string jpeg = make_jpeg({.width = 40, .height = 40, .pixel = {1, 2, 3}});
  EXPECT_EQ(refusal(jpeg.substr(0, jpeg.size() - 2)),
            "a.img: damaged JPEG: Premature end of input file");
  EXPECT_THAT(refusal(jpeg.substr(0, 200)), HasSubstr("damaged JPEG"));
  EXPECT_THAT(refusal(jpeg.substr(0, 4)), HasSubstr("damaged JPEG"));
  EXPECT_EQ(refusal(jpeg + "trailing bytes do no harm"), "");
}

TEST(JpegDecoder, OrientationIsIgnoredUnlessAsked) {
  const std::string tag =
      little_endian(0x0112, 2) + little_endian(3, 2) + little_endian(1) + little_endian(6);
  std::string exif("Exif\0\0II*\0", 10);
  exif += little_endian(8) + little_endian(1, 2) + tag + little_endian(0);
  const std::string jpeg = make_jpeg({.width = 16, .height = 8, .pixel = {9, 9, 9}, .app1 = exif});
  DecodeNotes notes;
  EXPECT_EQ(decode_image(jpeg, "a.jpg", {}, &notes).width, 16);
  EXPECT_EQ(notes.orientation, 6);
  EXPECT_EQ(decode_image(jpeg, "a.jpg", {.exif = Exif::kApply}).width, 8);
}

TEST(WebpDecoder, LosslessPixelsAreExactAndAlphaIsDropped) {
  const std::string webp = make_webp({1, 2, 3, 255, 200, 100, 50, 255}, 2, 1);
  EXPECT_THAT(decoded(webp), ElementsAre(1, 2, 3, 200, 100, 50));
  EXPECT_THAT(decoded(make_webp({10, 20, 30, 128}, 1, 1)), ElementsAre(10, 20, 30));
  EXPECT_THAT(decoded(make_webp({10, 20, 30, 128}, 1, 1), kWhite), ElementsAre(132, 137, 142));
  EXPECT_THAT(refusal(webp.substr(0, webp.size() - 8)), HasSubstr("damaged WebP"));
}

class TiffDecoder : public ::testing::Test {
 protected:
  std::vector<int> decoded_tiff(const TiffParts& parts) {
    write_tiff(folder_ / "a.tif", parts);
    return pixels_of(read_image(folder_ / "a.tif"));
  }
  TemporaryFolder folder_;
};

TEST_F(TiffDecoder, ColourInOneOrInSeparatePlanes) {
  EXPECT_THAT(decoded_tiff({.width = 2, .pixels = bytes_of({1, 2, 3, 4, 5, 6})}),
              ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(
      decoded_tiff(
          {.width = 2, .planar = PLANARCONFIG_SEPARATE, .pixels = bytes_of({1, 4, 2, 5, 3, 6})}),
      ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(TiffDecoder, TilesAreCutAtTheEdge) {
  std::vector<int> tile(16 * 16);
  for (size_t i = 0; i < tile.size(); ++i) tile[i] = static_cast<int>(i);
  EXPECT_EQ(decoded_tiff({.width = 2,
                          .height = 2,
                          .samples = 1,
                          .photometric = PHOTOMETRIC_MINISBLACK,
                          .tile = 16,
                          .pixels = bytes_of(tile)}),
            grey({0, 1, 16, 17}));
}

TEST_F(TiffDecoder, GreyIsInvertedOrClippedAsItsTagsSay) {
  const TiffParts white{
      .samples = 1, .photometric = PHOTOMETRIC_MINISWHITE, .pixels = bytes_of({5})};
  EXPECT_EQ(decoded_tiff(white), grey({250}));
  TiffParts deep{.width = 2, .bits = 16, .samples = 1, .photometric = PHOTOMETRIC_MINISBLACK};
  deep.pixels = little_endian(33, 2) + little_endian(5000, 2);
  EXPECT_EQ(decoded_tiff(deep), grey({33, 255}));
}

TEST_F(TiffDecoder, PalettesInksAndAlpha) {
  TiffParts palette{.samples = 1, .photometric = PHOTOMETRIC_PALETTE, .pixels = bytes_of({2})};
  palette.colours.assign(768, 0);
  palette.colours[2] = 10 << 8, palette.colours[256 + 2] = 20 << 8, palette.colours[514] = 30 << 8;
  EXPECT_THAT(decoded_tiff(palette), ElementsAre(10, 20, 30));
  EXPECT_THAT(decoded_tiff({.samples = 4,
                            .photometric = PHOTOMETRIC_SEPARATED,
                            .pixels = bytes_of({0, 155, 255, 55})}),
              ElementsAre(200, 78, 0));
  EXPECT_THAT(
      decoded_tiff(
          {.samples = 4, .extra = EXTRASAMPLE_UNASSALPHA, .pixels = bytes_of({1, 2, 3, 0})}),
      ElementsAre(1, 2, 3));
}

TEST_F(TiffDecoder, TheOrientationTagIsApplied) {
  EXPECT_THAT(decoded_tiff({.width = 2, .orientation = 2, .pixels = bytes_of({1, 2, 3, 4, 5, 6})}),
              ElementsAre(4, 5, 6, 1, 2, 3));
  write_tiff(folder_ / "b.tif",
             {.width = 2, .orientation = 6, .pixels = bytes_of({1, 2, 3, 4, 5, 6})});
  EXPECT_EQ(read_image(folder_ / "b.tif").height, 2);
}

TEST_F(TiffDecoder, ACutTileIsRefused) {
  const std::string tiff = make_tiff({{TIFFTAG_IMAGEWIDTH, 16},
                                      {TIFFTAG_IMAGELENGTH, 16},
                                      {TIFFTAG_BITSPERSAMPLE, 8},
                                      {TIFFTAG_COMPRESSION, COMPRESSION_NONE},
                                      {TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK},
                                      {TIFFTAG_SAMPLESPERPIXEL, 1},
                                      {TIFFTAG_TILEWIDTH, 16},
                                      {TIFFTAG_TILELENGTH, 16},
                                      {TIFFTAG_TILEOFFSETS, 8},
                                      {TIFFTAG_TILEBYTECOUNTS, 256}});
  EXPECT_EQ(refusal(tiff),
            "a.img: damaged TIFF: its pixels cannot be decoded; the file may be cut short");
}

TEST_F(TiffDecoder, UnknownLayoutsAndCutFilesAreRefused) {
  write_tiff(folder_ / "a.tif", {.width = 300, .pixels = std::string(900, 'x')});
  const std::string bytes = read_bytes(folder_ / "a.tif");
  EXPECT_THAT(refusal(bytes.substr(0, 20)), HasSubstr("damaged TIFF"));
  const std::string lab = error_of([&] {
    decoded_tiff({.photometric = PHOTOMETRIC_CIELAB, .pixels = bytes_of({1, 2, 3})});
  });
  EXPECT_THAT(lab, HasSubstr("photometric interpretation 8, 3 samples of 8 bits is not supported"));
}

std::string make_bmp(int bits, int compression, int width, int height, const std::string& tables,
                     const std::string& pixels) {
  const auto offset = static_cast<uint32_t>(54 + tables.size());
  const auto number = [](int value) { return little_endian(static_cast<uint32_t>(value)); };
  return "BM" + number(0) + number(0) + little_endian(offset) + number(40) + number(width) +
         number(height) + little_endian(1, 2) + little_endian(static_cast<uint32_t>(bits), 2) +
         number(compression) + std::string(12, '\0') + number(0) + number(0) + tables + pixels;
}

TEST(BmpDecoder, RowsRunUpwardsUnlessTheHeightIsNegative) {
  const std::string rows = bytes_of({1, 2, 3, 0, 4, 5, 6, 0});  // blue, green, red, padding
  EXPECT_THAT(decoded(make_bmp(24, 0, 1, 2, "", rows)), ElementsAre(6, 5, 4, 3, 2, 1));
  EXPECT_THAT(decoded(make_bmp(24, 0, 1, -2, "", rows)), ElementsAre(3, 2, 1, 6, 5, 4));
}

TEST(BmpDecoder, PalettesBitFieldsAndRuns) {
  std::string table(2 * 4, '\0');
  table.replace(4, 3, bytes_of({30, 20, 10}));
  EXPECT_THAT(decoded(make_bmp(1, 0, 2, 1, table, bytes_of({0b01000000, 0, 0, 0}))),
              ElementsAre(0, 0, 0, 10, 20, 30));
  const std::string masks = little_endian(0xF800) + little_endian(0x07E0) + little_endian(0x001F);
  EXPECT_THAT(decoded(make_bmp(16, 3, 1, 1, masks, little_endian(31 << 11 | 21 << 5 | 7, 4))),
              ElementsAre(255, 85, 57));
  std::string colours(1024, '\0');
  colours.replace(7 * 4, 3, bytes_of({3, 2, 1}));
  // A run of two, the end of the row, two literals (padded), the end of the picture.
  const std::string runs = bytes_of({2, 7, 0, 0, 1, 7, 1, 0, 0, 1});
  EXPECT_THAT(decoded(make_bmp(8, 1, 2, 2, colours, runs)),
              ElementsAre(1, 2, 3, 0, 0, 0, 1, 2, 3, 1, 2, 3));
}

TEST(BmpDecoder, DamageIsNamed) {
  EXPECT_EQ(refusal(make_bmp(24, 0, 5, 5, "", "short")),
            "a.img: damaged BMP: the file ends too early");
  EXPECT_THAT(refusal(make_bmp(7, 0, 5, 5, "", "short")), HasSubstr("BMP of 7 bits"));
}

TEST(PnmDecoder, TextAndBinaryFormsWithComments) {
  EXPECT_EQ(decoded("P1\n# c\n3 1\n1 01"), grey({0, 255, 0}));
  EXPECT_EQ(decoded("P2 2 1 # max\n15 0\n15"), grey({0, 255}));
  EXPECT_THAT(decoded("P3 1 1 31 0 15 31"), ElementsAre(0, 123, 255));
  EXPECT_EQ(decoded("P4 9 1\n" + bytes_of({0b10000000, 0})),
            grey({0, 255, 255, 255, 255, 255, 255, 255, 255}));
  EXPECT_EQ(decoded("P5 2 1 100\n" + bytes_of({50, 100})), grey({128, 255}));
  EXPECT_EQ(decoded("P5 2 1 65535\n" + bytes_of({0, 9, 1, 0})), grey({9, 255}));
  EXPECT_THAT(decoded("P6 1 1 255\n" + bytes_of({1, 2, 3})), ElementsAre(1, 2, 3));
  EXPECT_THAT(decoded("P6 1#w\n1 255#most\n" + bytes_of({1, 2, 3})), ElementsAre(1, 2, 3));
  EXPECT_EQ(decoded("P2 2 1 9#most\n9#white\n0"), grey({255, 0}));
}

TEST(PnmDecoder, DamageIsNamed) {
  EXPECT_EQ(refusal("P6 2 1 255\nabc"), "a.img: damaged PNM: the file ends too early");
  EXPECT_EQ(refusal("P5 2 x 255\n"), "a.img: damaged PNM: the height is no number at byte 5");
  EXPECT_EQ(refusal("P2 1 1 9 10"), "a.img: damaged PNM: sample 10 is above 9");
}

TEST(WritePng, RoundTripsPixelsInBothLayoutsAndKeepsText) {
  const TemporaryFolder folder;
  const Tensor planes = at::arange(3 * 4 * 5, at::kByte).view({3, 4, 5});
  write_png(folder / "new/a.png", planes, {{"prompt", "a caf\xC3\xA9"}, {"seed", "7"}});
  EXPECT_TRUE(to_tensor(read_image(folder / "new/a.png")).equal(planes));
  write_png(folder / "b.png", planes.permute({1, 2, 0}));
  EXPECT_TRUE(to_tensor(read_image(folder / "b.png")).equal(planes));
  const std::string bytes = read_bytes(folder / "new/a.png");
  EXPECT_THAT(bytes, HasSubstr(std::string("tEXtseed\0", 9) + "7"));
  EXPECT_THAT(bytes, HasSubstr("iTXtprompt"));
}

}  // namespace
}  // namespace gear::io
