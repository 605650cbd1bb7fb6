#include "gear/data/index_loader.h"

#include <gtest/gtest.h>

#include "data/index_files.h"
#include "data/pictures.h"
#include "gear/data/transform.h"
#include "io/temporary_folder.h"

namespace gear::data {
namespace {

using io::error_of;
using io::TemporaryFolder;
using testing::index_file;

DataConfig config_of(int64_t batch_size) {
  DataConfig config;
  config.image_size = 16;
  config.batch_size = batch_size;
  return config;
}

std::shared_ptr<const IndexSet> two_files(const TemporaryFolder& folder) {
  write_index_file(folder / "indices" / "0.safetensors", index_file(0, 2));
  write_index_file(folder / "indices" / "1.safetensors", index_file(1, 2));
  return std::make_shared<const IndexSet>(folder / "indices");
}

TEST(IndexLoader, HandsOutSamplesInTheOrderOfThePictures) {
  const TemporaryFolder folder;
  const auto indices = two_files(folder);
  write_picture_folder(folder / "pictures", indices->size());
  const auto pictures = std::make_shared<const ImageFolder>(folder / "pictures");
  ASSERT_EQ(pictures->size(), indices->size());
  const LoaderShare share{.rank = 1, .world_size = 2, .micro_batch_size = 2, .seed = 7};
  Loader of_pictures(pictures, config_of(4), share);
  IndexLoader of_indices(indices, config_of(4), share);
  for (int64_t i = 0; i < 9; ++i) {  // more than two epochs
    const Batch batch = of_indices.next();
    EXPECT_EQ(batch.sample_ids, of_pictures.next().sample_ids) << i;
    EXPECT_EQ(of_indices.position(), of_pictures.position());
    EXPECT_FALSE(batch.images.defined());
    for (size_t row = 0; row < batch.sample_ids.size(); ++row) {
      EXPECT_EQ(batch.labels[static_cast<int64_t>(row)].item<int64_t>(),
                indices->label(batch.sample_ids[row]));
    }
  }
}

TEST(IndexLoader, MirrorsTheSamplesThatThePicturesMirrorInThatEpoch) {
  const TemporaryFolder folder;
  const auto set = two_files(folder);
  DataConfig config = config_of(5);
  const LoaderShare share{.micro_batch_size = 5, .seed = 3};
  int64_t mirrored = 0;
  IndexLoader loader(set, config, share);
  for (int64_t step = 0; step < 8; ++step) {
    const Batch batch = loader.next();
    for (size_t row = 0; row < batch.sample_ids.size(); ++row) {
      const bool flip = random_flip(share.seed, step / 2, batch.sample_ids[row]);
      mirrored += flip ? 1 : 0;
      EXPECT_TRUE(batch.tokens[static_cast<int64_t>(row)].equal(
          set->tokens({batch.sample_ids[row]}, {flip})[0]));
    }
  }
  EXPECT_GT(mirrored, 0);
  EXPECT_LT(mirrored, 40);

  config.random_flip = false;
  const Batch batch = IndexLoader(set, config, share).next();
  EXPECT_TRUE(batch.tokens.equal(set->tokens(batch.sample_ids, std::vector<bool>(5, false))));
}

TEST(IndexLoader, SeekContinuesAsIfAllBeforeHadBeenHandedOut) {
  const TemporaryFolder folder;
  const auto set = two_files(folder);
  const LoaderShare share{.micro_batch_size = 2, .seed = 5};
  IndexLoader whole(set, config_of(4), share), resumed(set, config_of(4), share);
  for (int64_t i = 0; i < 7; ++i) whole.next();
  resumed.seek(whole.position());
  for (int64_t i = 0; i < 3; ++i) {
    const Batch a = whole.next(), b = resumed.next();
    EXPECT_EQ(a.sample_ids, b.sample_ids);
    EXPECT_TRUE(a.tokens.equal(b.tokens));
  }
}

TEST(IndexLoader, RefusesASetSmallerThanABatch) {
  const TemporaryFolder folder;
  const auto set = two_files(folder);
  EXPECT_EQ(error_of([&] { IndexLoader(set, config_of(16), {.micro_batch_size = 16}); }),
            set->path().string() +
                ": holds 10 images, fewer than data.batch_size (16); lower data.batch_size or add "
                "images");
}

}  // namespace
}  // namespace gear::data
