#include "gear/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "data/pictures.h"
#include "gear/data/held_out.h"
#include "gear/data/transform.h"
#include "io/temporary_folder.h"

namespace gear::data {
namespace {

using io::error_of;
using io::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kImages = 22;
constexpr int64_t kSide = 16;

bool same(const Batch& a, const Batch& b) {
  return a.sample_ids == b.sample_ids && a.labels.equal(b.labels) && a.images.equal(b.images);
}

class LoaderTest : public ::testing::Test {
 protected:
  LoaderTest() {
    write_picture_folder(folder_.path(), kImages);
    config_.image_size = kSide;
    config_.batch_size = 8;
    config_.workers = 1;
    config_.prefetch = 2;
    config_.max_bad_share = 0.5;
  }

  std::shared_ptr<const ImageFolder> source() const {
    return std::make_shared<const ImageFolder>(folder_.path());
  }

  std::vector<Batch> batches(int64_t count, const LoaderShare& share, int64_t from = 0) const {
    Loader loader(source(), config_, share);
    if (from > 0) loader.seek(from);
    std::vector<Batch> result;
    for (int64_t i = 0; i < count; ++i) result.push_back(loader.next());
    return result;
  }

  /// Replaces picture `number` by `bytes`.
  void break_picture(int64_t number, const std::string& bytes = "") const {
    const auto images = source();
    for (int64_t i = 0; i < images->size(); ++i) {
      if (std::stoi(images->path(i).stem()) == number) io::write_bytes(images->path(i), bytes);
    }
  }

  TemporaryFolder folder_;
  DataConfig config_;
  LoaderShare share_{.micro_batch_size = 4, .seed = 5};
};

TEST_F(LoaderTest, BatchesHoldTheCropsThatTheSeedSays) {
  const auto images = source();
  const Batch batch = batches(1, share_)[0];
  EXPECT_EQ(batch.images.sizes(), (std::vector<int64_t>{4, 3, kSide, kSide}));
  for (int64_t row = 0; row < 4; ++row) {
    const int64_t sample = batch.sample_ids[static_cast<size_t>(row)];
    EXPECT_EQ(batch.labels[row].item<int64_t>(), images->label(sample));
    const io::Image scaled =
        resize_short_side(io::read_image(images->path(sample)), kSide, Filter::kBicubic);
    const Window crop = random_crop({scaled.height, scaled.width}, kSide, 5, 0, sample);
    Tensor expected = at::empty({3, kSide, kSide}, at::kByte);
    copy_planar(scaled, crop, random_flip(5, 0, sample), expected.mutable_data_ptr<uint8_t>());
    EXPECT_TRUE(batch.images[row].equal(expected));
  }
}

TEST_F(LoaderTest, EachEpochIsAnotherPermutationWithoutItsLastPartialBatch) {
  Loader loader(source(), config_, share_);
  EXPECT_EQ(loader.steps_per_epoch(), 2);
  EXPECT_EQ(loader.micro_batches_per_epoch(), 4);
  std::vector<std::vector<int64_t>> epochs(3);
  for (auto& epoch : epochs) {
    for (int64_t i = 0; i < 4; ++i) {
      const auto ids = loader.next().sample_ids;
      epoch.insert(epoch.end(), ids.begin(), ids.end());
    }
    EXPECT_EQ(std::set<int64_t>(epoch.begin(), epoch.end()).size(), 16U);
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
}

TEST_F(LoaderTest, ThreadsPrefetchAndCacheChangeNothing) {
  const auto expected = batches(11, share_);
  for (const int64_t workers : {1, 3}) {
    for (const int64_t cache_mb : {0, 64}) {
      config_.workers = workers;
      config_.prefetch = workers == 1 ? 1 : 5;
      config_.cache_mb = cache_mb;
      const auto found = batches(11, share_);
      for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(same(found[i], expected[i])) << i;
    }
  }
}

TEST_F(LoaderTest, SeekContinuesAnywhereBitForBit) {
  const auto expected = batches(11, share_);
  for (const int64_t from : {1, 3, 4, 7, 10}) {
    EXPECT_TRUE(same(batches(1, share_, from)[0], expected[static_cast<size_t>(from)])) << from;
  }
  Loader loader(source(), config_, share_);
  for (int64_t i = 0; i < 5; ++i) loader.next();
  EXPECT_EQ(loader.position(), 5);
  loader.seek(2);  // back, with batches prepared
  EXPECT_TRUE(same(loader.next(), expected[2]));
  EXPECT_EQ(loader.position(), 3);
}

TEST_F(LoaderTest, RanksShareOneGlobalOrder) {
  const auto expected = batches(10, share_);
  for (int64_t rank = 0; rank < 2; ++rank) {
    LoaderShare half = share_;
    half.rank = rank;
    half.world_size = 2;
    const auto found = batches(5, half);
    for (int64_t i = 0; i < 5; ++i) {
      EXPECT_TRUE(same(found[static_cast<size_t>(i)], expected[static_cast<size_t>(2 * i + rank)]));
    }
    EXPECT_TRUE(same(batches(1, half, 6)[0], expected[static_cast<size_t>(6 + rank)]));
  }
}

TEST_F(LoaderTest, AStepSeesTheSameImagesForAnyMicroBatchSize) {
  LoaderShare whole = share_;
  whole.micro_batch_size = 8;
  const auto large = batches(3, whole);
  const auto small = batches(6, share_);
  for (size_t step = 0; step < 3; ++step) {
    auto ids = small[2 * step].sample_ids;
    ids.insert(ids.end(), small[2 * step + 1].sample_ids.begin(),
               small[2 * step + 1].sample_ids.end());
    EXPECT_EQ(ids, large[step].sample_ids);
  }
}

TEST_F(LoaderTest, WithoutAugmentationTheCentreIsCut) {
  config_.random_crop = false;
  config_.random_flip = false;
  const auto found = batches(4, share_);
  std::map<int64_t, Tensor> held_out;
  ValidationLoader validation(source(), config_, share_);
  while (const auto batch = validation.next()) {
    for (size_t i = 0; i < batch->sample_ids.size(); ++i) {
      held_out[batch->sample_ids[i]] = batch->images[static_cast<int64_t>(i)];
    }
  }
  for (const Batch& batch : found) {
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(batch.images[static_cast<int64_t>(i)].equal(held_out.at(batch.sample_ids[i])));
    }
  }
}

TEST_F(LoaderTest, ABadImageIsNamedOnceAndReplacedTheSameWayByAnyThreads) {
  const auto healthy = batches(8, share_);
  break_picture(3);
  break_picture(8, "not a picture");
  break_picture(11, io::read_bytes(source()->path(0)).substr(0, 100));
  ::testing::internal::CaptureStderr();
  const auto found = batches(8, share_);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("warning: image skipped: " + (folder_ / "b/003.png").string() +
                             ": the file is empty (0 bytes)\n"));
  EXPECT_EQ(log.find("003.png"), log.rfind("003.png"));  // once, though two epochs met it

  const auto images = source();
  int64_t replaced = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    for (size_t row = 0; row < 4; ++row) {
      const int64_t before = healthy[i].sample_ids[row];
      const int64_t after = found[i].sample_ids[row];
      const int number = std::stoi(images->path(before).stem());
      const bool bad = number == 3 || number == 8 || number == 11;
      EXPECT_EQ(before != after, bad);
      EXPECT_EQ(found[i].labels[static_cast<int64_t>(row)].item<int64_t>(), images->label(after));
      replaced += bad ? 1 : 0;
    }
  }
  EXPECT_GT(replaced, 0);

  config_.workers = 3;
  config_.cache_mb = 0;
  const auto again = batches(8, share_);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(same(again[i], found[i])) << i;
  EXPECT_TRUE(same(batches(1, share_, 6)[0], found[6]));
}

TEST_F(LoaderTest, ATooLargeImageCountsAsBad) {
  config_.max_megapixels = 22 * 19 * 1e-6;  // pictures are 20 to 24 wide and 18 to 20 high
  Loader loader(source(), config_, share_);
  for (int64_t i = 0; i < 4; ++i) loader.next();
  EXPECT_GT(loader.bad_images(), 0);
}

TEST_F(LoaderTest, TooManyBadImagesStopTheRunWithTheirCountAndNames) {
  config_.max_bad_share = 0.05;  // one of 22 is allowed
  for (const int64_t number : {2, 5, 9}) break_picture(number);
  Loader loader(source(), config_, share_);
  const std::string message = error_of([&] {
    for (int64_t i = 0; i < 12; ++i) loader.next();
  });
  EXPECT_THAT(
      message,
      HasSubstr("2 of 22 images cannot be read, more than data.max_bad_share (0.05) allows: "));
  EXPECT_THAT(message, HasSubstr(".png"));
  EXPECT_THAT(message,
              HasSubstr("; repair or remove them, or for training raise data.max_bad_share"));
  EXPECT_EQ(error_of([&] { loader.next(); }), message);
}

TEST_F(LoaderTest, ASetOfBadImagesAloneEndsEvenIfAllowed) {
  config_.max_bad_share = 1.0;
  for (int64_t number = 0; number < kImages; ++number) break_picture(number);
  Loader loader(source(), config_, share_);
  EXPECT_THAT(error_of([&] { loader.next(); }), HasSubstr("22 of 22 images cannot be read"));
}

TEST_F(LoaderTest, SizesThatDoNotFitAreRefused) {
  const std::string root = folder_.path().string();
  config_.batch_size = 24;
  EXPECT_EQ(error_of([&] { Loader(source(), config_, share_); }),
            root +
                ": holds 22 images, fewer than data.batch_size (24); lower data.batch_size or add "
                "images");
  config_.batch_size = 10;
  EXPECT_EQ(error_of([&] { Loader(source(), config_, share_); }),
            "data.batch_size: must be a multiple of 4 (micro-batches of 4 on 1 ranks), got 10");
  config_.batch_size = 8;
  config_.num_classes = 1;
  EXPECT_EQ(error_of([&] { Loader(source(), config_, share_); }),
            root +
                ": holds 2 class folders, more than data.num_classes (1); raise it, or set it to 0 "
                "to take the number of folders");
}

TEST_F(LoaderTest, ValidationSetsMayHaveMoreClassesThanTheModel) {
  config_.num_classes = 1;
  ValidationLoader validation(source(), config_, share_);
  int64_t images = 0;
  while (const auto batch = validation.next()) images += batch->images.size(0);
  EXPECT_EQ(images, kImages);
}

TEST_F(LoaderTest, OneHeldOutPictureLooksAsValidationSeesIt) {
  config_.val_filter = Filter::kBilinear;
  const auto images = source();
  ValidationLoader validation(images, config_, share_);
  const auto batch = validation.next();
  for (int64_t i = 0; i < batch->images.size(0); ++i) {
    EXPECT_TRUE(read_held_out(images->path(i), config_).equal(batch->images[i])) << i;
  }
}

TEST_F(LoaderTest, ItCanBeDestroyedAtAnyMoment) {
  config_.workers = 3;
  for (int i = 0; i < 20; ++i) {
    Loader loader(source(), config_, share_);
    if (i % 2 == 0) loader.next();
    if (i % 3 == 0) loader.seek(i);
  }
}

TEST_F(LoaderTest, ValidationGivesEachImageOnceInOrderAndCanRestart) {
  ValidationLoader validation(source(), config_, share_);
  for (int pass = 0; pass < 2; ++pass) {
    std::vector<int64_t> ids;
    while (const auto batch = validation.next()) {
      EXPECT_EQ(batch->images.size(0), static_cast<int64_t>(batch->sample_ids.size()));
      ids.insert(ids.end(), batch->sample_ids.begin(), batch->sample_ids.end());
    }
    EXPECT_EQ(ids.size(), static_cast<size_t>(kImages));
    EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
    EXPECT_FALSE(validation.next().has_value());
    validation.restart();
  }
}

TEST_F(LoaderTest, ValidationRanksTogetherSeeEachImageOnceWithoutBadOnes) {
  break_picture(4);
  std::multiset<int64_t> ids;
  for (int64_t rank = 0; rank < 3; ++rank) {
    LoaderShare third = share_;
    third.rank = rank;
    third.world_size = 3;
    ValidationLoader validation(source(), config_, third);
    while (const auto batch = validation.next())
      ids.insert(batch->sample_ids.begin(), batch->sample_ids.end());
  }
  EXPECT_EQ(ids.size(), static_cast<size_t>(kImages - 1));
  EXPECT_EQ(std::set<int64_t>(ids.begin(), ids.end()).size(), ids.size());
}

}  // namespace
}  // namespace gear::data
