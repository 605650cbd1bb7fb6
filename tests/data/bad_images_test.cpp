// Images that cannot be read: how they are counted, over restarts too.

#include "data/bad_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/pictures.h"
#include "gear/data/loader.h"
#include "io/temporary_folder.h"

namespace gear::data {
namespace {

using io::error_of;
using io::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(BadImages, RestoredOnesCountTowardsTheLimit) {
  BadImages bad(22, 0.05);  // one is allowed
  bad.restore({7});
  EXPECT_EQ(error_of([&] { bad.add(3, "b/003.png", "b/003.png: the file is empty (0 bytes)"); }),
            "2 of 22 images cannot be read, more than data.max_bad_share (0.05) allows: b/003.png, "
            "...; repair or remove them, or for training raise data.max_bad_share");
}

TEST(BadImages, RestoredOnesAreTriedAgainAndNumbersBeyondTheSetAreLeftOut) {
  BadImages bad(22, 1.0);
  bad.restore({7, 2, 22, -1, 7});
  EXPECT_THAT(bad.samples(), ElementsAre(2, 7));
  EXPECT_FALSE(bad.contains(2));
  bad.add(2, "b/002.png", "b/002.png: the file is empty (0 bytes)");
  EXPECT_TRUE(bad.contains(2));
  bad.restore({2});  // known already
  EXPECT_TRUE(bad.contains(2));
  bad.clear_suspicion(7);
  EXPECT_THAT(bad.samples(), ElementsAre(2));
}

class RestartTest : public ::testing::Test {
 protected:
  RestartTest() {
    write_picture_folder(folder_.path(), 22);  // even numbers are of class a, which comes first
    config_.image_size = 16;
    config_.batch_size = 4;
    config_.max_bad_share = 0.5;
  }

  Loader loader() const {
    return Loader(std::make_shared<const ImageFolder>(folder_.path()), config_,
                  {.micro_batch_size = 4, .seed = 5});
  }
  static void take_four_epochs(Loader& loader) {
    for (int64_t i = 0; i < 20; ++i) loader.next();
  }

  TemporaryFolder folder_;
  DataConfig config_;
};

TEST_F(RestartTest, TheCountGoesOnInsteadOfBeginningAnew) {
  io::write_bytes(folder_ / "a/008.png", "");
  io::write_bytes(folder_ / "b/003.png", "");
  Loader first = loader();
  take_four_epochs(first);
  EXPECT_THAT(first.bad_samples(), ElementsAre(4, 12));

  Loader second = loader();
  second.restore_bad_samples(first.bad_samples());
  EXPECT_EQ(second.bad_images(), 2);
  take_four_epochs(second);
  EXPECT_THAT(second.bad_samples(), ElementsAre(4, 12));
}

TEST_F(RestartTest, AnImageRepairedInBetweenIsUsedAgain) {
  config_.cache_mb = 0;
  Loader untroubled = loader();
  Loader restarted = loader();
  restarted.restore_bad_samples({4, 12});
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(restarted.next().sample_ids, untroubled.next().sample_ids);
  }
  EXPECT_THAT(restarted.bad_samples(), IsEmpty());
}

}  // namespace
}  // namespace gear::data
