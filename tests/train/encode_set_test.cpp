#include "gear/train/encode_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/pictures.h"
#include "gear/data/held_out.h"
#include "gear/data/index_set.h"
#include "gear/train/stored_indices.h"
#include "io/temporary_folder.h"
#include "small_recipe.h"

namespace gear::train {
namespace {

using io::error_of;
using io::TemporaryFolder;
using ::testing::EndsWith;
using testing::small_recipe_config;

class EncodeSetTest : public ::testing::Test {
 protected:
  EncodeSetTest() {
    data::write_picture_folder(folder_ / "pictures", 10);
    torch::manual_seed(3);
    tokenizer_ = models::make_tokenizer(config_.tokenizer);
    tokenizer_->eval();
  }
  std::shared_ptr<const data::ImageFolder> pictures() const {
    return std::make_shared<const data::ImageFolder>(folder_ / "pictures");
  }
  EncodeOptions options(const std::string& out) const {
    EncodeOptions options{.out = folder_ / out, .data = config_.data};
    options.data.max_bad_share = 0.5;
    options.file_size = 4;
    options.batch = 3;  // so that batches lie across the files
    return options;
  }

  TemporaryFolder folder_;
  RunConfig config_ = small_recipe_config(RecipeKind::kAr);
  std::shared_ptr<models::Tokenizer> tokenizer_;
};

TEST_F(EncodeSetTest, StoresWhatTheTokenizerMakesOfEachPictureAndItsMirrorImage) {
  auto options = this->options("a.safetensors");
  options.mirrored = true;
  const auto summary = encode_set(*tokenizer_, pictures(), options);
  EXPECT_EQ(summary.pictures, 10);
  EXPECT_EQ(summary.files, 1);
  const auto source = pictures();
  const data::IndexFile file = data::read_index_file(options.out);
  EXPECT_EQ(file.info.classes, source->classes());
  EXPECT_EQ(file.info.tokenizer_sha256, tokenizer_sha256(*tokenizer_));
  for (int64_t i = 0; i < source->size(); ++i) {
    EXPECT_EQ(folder_ / "pictures" / file.names[static_cast<size_t>(i)], source->path(i));
    EXPECT_EQ(file.labels[i].item<int64_t>(), source->label(i));
    const Tensor picture =
        models::to_signed_unit(data::read_held_out(source->path(i), config_.data).unsqueeze(0));
    EXPECT_TRUE(file.indices[i].to(at::kLong).equal(tokenizer_->encode_ids(picture)[0])) << i;
    EXPECT_TRUE(file.mirrored[i].to(at::kLong).equal(tokenizer_->encode_ids(picture.flip(-1))[0]))
        << i;
  }
}

TEST_F(EncodeSetTest, AFolderOfFilesHoldsTheSameAsOneFile) {
  encode_set(*tokenizer_, pictures(), options("a.safetensors"));
  EXPECT_EQ(encode_set(*tokenizer_, pictures(), options("folder")).files, 3);
  const data::IndexSet one(folder_ / "a.safetensors"), many(folder_ / "folder");
  ASSERT_EQ(many.size(), one.size());
  EXPECT_EQ(many.names_sha256(), one.names_sha256());
  for (int64_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(many.tokens({i}, {false}).equal(one.tokens({i}, {false}))) << i;
    EXPECT_EQ(many.label(i), one.label(i));
  }
}

TEST_F(EncodeSetTest, GoesOnWithTheFilesThatAreMissing) {
  encode_set(*tokenizer_, pictures(), options("folder"));
  const auto second = folder_ / "folder" / "indices-00001-of-00003.safetensors";
  const std::string bytes = io::read_bytes(second);
  std::filesystem::remove(second);
  const auto cut = folder_ / "folder" / ".indices-00001-of-00003.safetensors.1.partial";
  io::write_bytes(cut, "what a killed call leaves");
  const auto summary = encode_set(*tokenizer_, pictures(), options("folder"));
  EXPECT_EQ(summary.kept, 2);
  EXPECT_EQ(summary.pictures, 10);
  EXPECT_EQ(io::read_bytes(second), bytes);
  EXPECT_FALSE(std::filesystem::exists(cut));
}

TEST_F(EncodeSetTest, LeavesUnreadablePicturesOut) {
  const auto source = pictures();
  for (const int64_t bad : {2, 9}) io::write_bytes(source->path(bad), "no picture");
  const auto summary = encode_set(*tokenizer_, pictures(), options("folder"));
  EXPECT_EQ(summary.pictures, 8);
  EXPECT_EQ(summary.unreadable, 2);
  EXPECT_EQ(data::IndexSet(folder_ / "folder").size(), 8);
}

TEST_F(EncodeSetTest, LeavesFilesOfAnotherSetAsTheyAre) {
  const auto end = EndsWith(
      ": is there already and is not what this command would write (other pictures, "
      "tokenizer, size or options); choose another --out, or remove it");
  encode_set(*tokenizer_, pictures(), options("folder"));
  auto mirrored = options("folder");
  mirrored.mirrored = true;
  EXPECT_THAT(error_of([&] { encode_set(*tokenizer_, pictures(), mirrored); }), end);
  auto larger = options("folder");
  larger.file_size = 5;
  EXPECT_THAT(error_of([&] { encode_set(*tokenizer_, pictures(), larger); }), end);
  {
    const at::NoGradGuard no_grad;
    tokenizer_->parameters().back().add_(1e-3);
  }
  EXPECT_THAT(error_of([&] { encode_set(*tokenizer_, pictures(), options("folder")); }), end);
}

TEST_F(EncodeSetTest, RefusesTokenizersAndSizesThatDoNotFit) {
  auto odd = options("a.safetensors");
  odd.data.image_size = 9;
  EXPECT_EQ(error_of([&] { encode_set(*tokenizer_, pictures(), odd); }),
            "--image-size: must be divisible by 2, the downsampling factor of the tokenizer, got "
            "9");
  models::TokenizerConfig grouped = config_.tokenizer;
  grouped.quantizer = {
      .kind = models::QuantizerKind::kGlfq, .codebook_size = 512, .codebook_dim = 9, .groups = 3};
  EXPECT_EQ(
      error_of([&] {
        encode_set(*models::make_tokenizer(grouped), pictures(), options("a.safetensors"));
      }),
      "gear encode: the quantizer glfq gives every token 3 ids, and no transformer here learns "
      "those; use a tokenizer with one id per token");
}

}  // namespace
}  // namespace gear::train
