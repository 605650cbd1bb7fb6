// Ranks that need each other for an evaluation and do not read the same pictures.

#include "eval/shared_batches.h"

#include <gmock/gmock.h>

#include <fstream>

#include "data/pictures.h"
#include "dist/ranks.h"
#include "io/temporary_folder.h"

namespace gear::eval {
namespace {

namespace fs = std::filesystem;
using dist::World;
using dist::testing::run_ranks;
using ::testing::HasSubstr;

/// Held-out pictures of one rank, as they lie on its machine.
class OwnPictures {
 public:
  OwnPictures() { data::write_picture_folder(folder_.path(), 10); }

  void damage(int64_t picture) const {
    std::ofstream(folder_ / (picture % 2 == 0 ? "a" : "b") /
                  ("00" + std::to_string(picture) + ".png"))
        << "no picture";
  }

  /// The ids of all pictures that the ranks go through together.
  std::vector<int64_t> read(const World& world, double max_bad_share) const {
    data::DataConfig config;
    config.image_size = 16;
    config.workers = 1;
    config.max_bad_share = max_bad_share;
    data::ValidationLoader loader(std::make_shared<data::ImageFolder>(folder_.path()), config,
                                  {.micro_batch_size = 4});
    std::vector<int64_t> ids;
    while (const auto batch = next_of_all(loader, world)) {
      ids.insert(ids.end(), batch->sample_ids.begin(), batch->sample_ids.end());
    }
    return ids;
  }

  std::string failure(const World& world, double max_bad_share) const {
    try {
      read(world, max_bad_share);
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was thrown";
  }

 private:
  const io::TemporaryFolder folder_;
};

TEST(SharedBatches, AllRanksReadAll) {
  run_ranks(2, [](const World& world) {
    const OwnPictures pictures;
    EXPECT_EQ(pictures.read(world, 0.5), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  });
}

TEST(SharedBatches, APictureThatNoRankCanReadIsLeftOut) {
  run_ranks(2, [](const World& world) {
    const OwnPictures pictures;
    pictures.damage(5);
    EXPECT_EQ(pictures.read(world, 0.5),  // of class b, behind the five of class a
              (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 8, 9}));
  });
}

TEST(SharedBatches, APictureThatOneRankCannotReadEndsAllWithTheSameSentence) {
  run_ranks(2, [](const World& world) {
    const OwnPictures pictures;
    if (world.rank() == 1) pictures.damage(5);
    EXPECT_THAT(pictures.failure(world, 0.5), HasSubstr("ranks read different held-out pictures"));
  });
}

TEST(SharedBatches, AnErrorOfOneRankEndsAllWithTheSameSentence) {
  for (const int64_t unlucky : {0, 1}) {
    run_ranks(2 + unlucky, [&](const World& world) {
      const OwnPictures pictures;
      if (world.rank() == unlucky) pictures.damage(5);
      EXPECT_THAT(pictures.failure(world, 0.0),
                  HasSubstr("1 of 10 images cannot be read, more than data.max_bad_share"));
    });
  }
}

}  // namespace
}  // namespace gear::eval
