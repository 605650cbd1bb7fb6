#include "gear/data/transform.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "data/pictures.h"

namespace gear::data {
namespace {

using io::Image;
using ::testing::Each;

double bicubic(double x) {
  const double t = std::abs(x);
  if (t < 1) return 1.5 * t * t * t - 2.5 * t * t + 1;
  return t < 2 ? -0.5 * t * t * t + 2.5 * t * t - 4 * t + 2 : 0;
}

/// One row of one channel in real numbers: what the fixed-point pass rounds.
std::vector<double> resampled(const std::vector<double>& in, int64_t out) {
  const double scale = static_cast<double>(in.size()) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);
  std::vector<double> result;
  for (int64_t i = 0; i < out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale - 0.5;
    double sum = 0, weights = 0;
    for (size_t x = 0; x < in.size(); ++x) {
      const double weight = bicubic((static_cast<double>(x) - centre) / stretch);
      sum += weight * in[x];
      weights += weight;
    }
    result.push_back(std::clamp(sum / weights, 0.0, 255.0));
  }
  return result;
}

TEST(Resize, OneRowIsTheRoundedBicubicConvolution) {
  const Image in = test_picture(37, 1);
  std::vector<double> reds;
  for (int64_t x = 0; x < in.width; ++x) reds.push_back(in.row(0)[3 * x]);
  for (const int64_t width : {11, 36, 80}) {
    const Image out = resize(in, 1, width, Filter::kBicubic);
    const auto expected = resampled(reds, width);
    for (int64_t x = 0; x < width; ++x) {
      EXPECT_NEAR(out.row(0)[3 * x], expected[static_cast<size_t>(x)], 0.501) << width << " " << x;
    }
  }
}

TEST(Resize, ColumnsAreTreatedLikeRows) {
  const Image wide = test_picture(29, 1);
  Image tall(1, 29);
  tall.pixels = wide.pixels;
  for (const auto filter : {Filter::kBox, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    EXPECT_EQ(resize(wide, 1, 13, filter).pixels, resize(tall, 13, 1, filter).pixels);
  }
}

TEST(Resize, AWindowNeedsNoPixelsBeyondItsSource) {
  const Image in = test_picture(61, 47);
  for (const auto filter : {Filter::kBox, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    for (const auto& [height, width] : {std::pair{23, 30}, {47, 30}, {80, 61}, {90, 100}}) {
      const Window window = {height / 3, width / 4, height / 3, width / 2};
      const Window source = resize_source(in.height, in.width, height, width, filter, window);
      Image part(in.width, in.height);  // black outside of the source
      for (int64_t y = source.top; y < source.top + source.height; ++y) {
        std::copy_n(in.row(y) + 3 * source.left, 3 * source.width, part.row(y) + 3 * source.left);
      }
      EXPECT_EQ(resize_window(part, height, width, filter, window).pixels,
                resize_window(in, height, width, filter, window).pixels);
    }
  }
}

TEST(Resize, BoxHalvesByAveraging) {
  Image in(4, 1);
  in.pixels = {0, 10, 20, 2, 20, 20, 100, 0, 255, 101, 0, 255};
  EXPECT_THAT(resize(in, 1, 2, Filter::kBox).pixels,
              ::testing::ElementsAre(1, 15, 20, 101, 0, 255));
}

TEST(Resize, TheSameSizeChangesNothing) {
  const Image in = test_picture(13, 9);
  for (const auto filter : {Filter::kBox, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    EXPECT_EQ(resize(in, 9, 13, filter).pixels, in.pixels);
  }
}

TEST(Resize, AFlatPictureStaysFlat) {
  Image in(50, 41);
  std::fill(in.pixels.begin(), in.pixels.end(), uint8_t{199});
  for (const auto filter : {Filter::kBox, Filter::kBilinear, Filter::kBicubic, Filter::kLanczos}) {
    EXPECT_THAT(resize(in, 23, 77, filter).pixels, Each(199));
  }
}

TEST(Resize, AWindowHoldsThePixelsOfTheWhole) {
  for (const auto& [width, height] : {std::pair{61, 45}, std::pair{30, 45}, std::pair{61, 20}}) {
    const Image in = test_picture(width, height);
    const Image whole = resize(in, 20, 30, Filter::kBicubic);
    for (const Window window : {Window{0, 0, 20, 30}, Window{3, 7, 11, 19}, Window{19, 29, 1, 1}}) {
      const Image part = resize_window(in, 20, 30, Filter::kBicubic, window);
      for (int64_t y = 0; y < window.height; ++y) {
        const uint8_t* expected = whole.row(window.top + y) + 3 * window.left;
        EXPECT_TRUE(std::equal(part.row(y), part.row(y) + 3 * window.width, expected));
      }
    }
  }
}

TEST(ShortSide, TheLongSideIsTruncated) {
  const auto scaled = [](int64_t height, int64_t width) {
    const ImageSize size = short_side_size({height, width}, 32);
    return std::pair{size.height, size.width};
  };
  EXPECT_EQ(scaled(50, 37), std::pair(int64_t{43}, int64_t{32}));  // 43.24
  EXPECT_EQ(scaled(30, 35), std::pair(int64_t{32}, int64_t{37}));  // 37.33
  EXPECT_EQ(scaled(32, 77), std::pair(int64_t{32}, int64_t{77}));
  EXPECT_EQ(scaled(1, 1), std::pair(int64_t{32}, int64_t{32}));
}

TEST(CentreCrop, HalvesAnOddRemainderToEven) {
  for (const auto& [remainder, offset] :
       {std::pair{0, 0}, std::pair{1, 0}, std::pair{3, 2}, std::pair{5, 2}, std::pair{7, 4}}) {
    EXPECT_EQ(centre_crop({32 + remainder, 32}, 32).top, offset);
    EXPECT_EQ(centre_crop({32, 32 + remainder}, 32).left, offset);
  }
}

TEST(RandomCrop, ReachesEveryPlaceAndFollowsFromItsArguments) {
  std::set<std::pair<int64_t, int64_t>> places;
  for (int64_t sample = 0; sample < 300; ++sample) {
    const Window crop = random_crop({34, 36}, 32, 1, 0, sample);
    const Window again = random_crop({34, 36}, 32, 1, 0, sample);
    EXPECT_EQ(crop.top, again.top);
    EXPECT_EQ(crop.left, again.left);
    places.emplace(crop.top, crop.left);
  }
  EXPECT_EQ(places.size(), 3U * 5U);
  EXPECT_EQ(places.begin()->first, 0);
  EXPECT_EQ(places.rbegin()->first, 2);
}

TEST(RandomFlip, MirrorsHalfAndChangesWithTheEpoch) {
  int mirrored = 0, changed = 0;
  for (int64_t sample = 0; sample < 1000; ++sample) {
    mirrored += random_flip(3, 0, sample) ? 1 : 0;
    changed += random_flip(3, 0, sample) != random_flip(3, 1, sample) ? 1 : 0;
  }
  EXPECT_NEAR(mirrored, 500, 80);  // five standard deviations
  EXPECT_NEAR(changed, 500, 80);
}

TEST(CopyPlanar, SplitsChannelsAndMirrors) {
  Image image(2, 1);
  image.pixels = {1, 2, 3, 4, 5, 6};
  std::vector<uint8_t> planes(6);
  copy_planar(image, {0, 0, 1, 2}, false, planes.data());
  EXPECT_THAT(planes, ::testing::ElementsAre(1, 4, 2, 5, 3, 6));
  copy_planar(image, {0, 0, 1, 2}, true, planes.data());
  EXPECT_THAT(planes, ::testing::ElementsAre(4, 1, 5, 2, 6, 3));
}

TEST(CopyPlanar, SplitsRowsOfAnyLength) {
  for (const int64_t width : {15, 16, 17, 32, 50}) {
    Image image(width + 3, 3);
    for (size_t i = 0; i < image.pixels.size(); ++i) {
      image.pixels[i] = static_cast<uint8_t>(i * 7 + i / 251);
    }
    const Window window = {1, 2, 2, width};
    for (const bool mirrored : {false, true}) {
      std::vector<uint8_t> planes(static_cast<size_t>(3 * 2 * width));
      copy_planar(image, window, mirrored, planes.data());
      size_t at = 0;
      for (int64_t channel = 0; channel < 3; ++channel) {
        for (int64_t y = 0; y < 2; ++y) {
          for (int64_t x = 0; x < width; ++x) {
            const int64_t from = window.left + (mirrored ? width - 1 - x : x);
            ASSERT_EQ(planes[at++], image.row(window.top + y)[3 * from + channel])
                << "width " << width << ", channel " << channel << ", row " << y << ", " << x;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace gear::data
