// Data folders that are not what training expects, and pictures that cannot be read.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tiny_setup.h"
#include "project_folders.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;

std::string layout_of(const fs::path& root) {
  return "expected one sub-folder per class with its pictures in it, " + root.string() +
         "/<class>/<picture>.jpg";
}

/// Trains on `data`, which must be refused with `message` before a run folder exists.
void expect_data_refused(const TinySetup& tiny, const fs::path& data, const std::string& message) {
  expect_user_error(tiny.train({"data.path=" + data.string()}), message);
  EXPECT_FALSE(fs::exists(tiny.run()));
}

TEST(BadData, MissingFolderSaysHowItShouldLook) {
  const TinySetup tiny;
  const fs::path data = tiny.root() / "none";
  expect_data_refused(tiny, data, data.string() + ": there is no such folder; " + layout_of(data));
}

TEST(BadData, FileInPlaceOfTheFolderIsCalledAFile) {
  const TinySetup tiny;
  const fs::path data = tiny.root() / "file";
  io::write_bytes(data, "text");
  expect_data_refused(tiny, data, data.string() + ": is a file, not a folder; " + layout_of(data));
}

TEST(BadData, EmptyFolderIsCalledEmpty) {
  const TinySetup tiny;
  const fs::path data = tiny.root() / "empty";
  fs::create_directories(data);
  expect_data_refused(tiny, data, data.string() + ": is empty; " + layout_of(data));
}

TEST(BadData, PicturesWithoutClassFoldersAreNamed) {
  const TinySetup tiny;
  const fs::path data = tiny.root() / "flat";
  io::write_png(data / "a.png", noise_image(1));
  expect_data_refused(
      tiny, data,
      data.string() + ": holds pictures (a.png) but no class folders; " + layout_of(data));
}

TEST(BadData, ClassFoldersWithoutPicturesListTheKnownFormats) {
  const TinySetup tiny;
  const fs::path data = tiny.root() / "hollow";
  fs::create_directories(data / "apple");
  expect_data_refused(tiny, data,
                      data.string() +
                          ": none of its class folders (1) holds a picture; expected "
                          "files that end in jpg, jpeg, png, ppm, bmp, pgm, tif, tiff, webp");
}

TEST(BadData, FewerPicturesThanABatchSaysWhatToLower) {
  const TinySetup tiny;
  expect_user_error(tiny.train({"data.batch_size=64"}),
                    tiny.data().string() +
                        ": holds 12 images, fewer than data.batch_size (64); "
                        "lower data.batch_size or add images");
  EXPECT_FALSE(fs::exists(tiny.run()));
}

TEST(BadData, MoreClassesThanConfiguredSaysWhatToRaise) {
  const TinySetup tiny;
  expect_user_error(tiny.train({"data.num_classes=1"}),
                    "data.num_classes: is 1, but " + tiny.data().string() +
                        " has 2 class folders; raise it, or set it to 0 to take what is there");
  EXPECT_FALSE(fs::exists(tiny.run()));
}

const fs::path kGoldenPictures = GEAR_SOURCE_DIR "/tests/golden/preprocess";

/// Adds one picture of each kind that cannot be read to the 12 good ones.
void add_bad_pictures(const TinySetup& tiny) {
  const fs::path apple = tiny.data() / "apple";
  const std::string good = io::read_bytes(apple / "0.png");
  io::write_bytes(apple / "x-corrupt.png", "this is no picture at all");
  io::write_bytes(apple / "x-truncated.png", good.substr(0, good.size() / 2));
  fs::copy_file(kGoldenPictures / "bad_images" / "truncated.jpg", apple / "x-truncated.jpg");
  io::write_bytes(apple / "x-zero.png", "");
  // A bitmap of one bit a pixel: valid, and 100 megapixels in 12.5 MB.
  io::write_bytes(apple / "x-huge.ppm", "P4\n10000 10000\n" + std::string(12'500'000, '\0'));
}

/// The whole of what is said about each of them, in the order of their names.
std::vector<std::string> bad_picture_sentences(const TinySetup& tiny) {
  const std::string stem = (tiny.data() / "apple").string() + "/x-";
  return {stem +
              "corrupt.png: not an image: expected JPEG, PNG, WebP, TIFF, BMP or PNM, got a "
              "file that starts with the bytes 74 68 69 73\n",
          stem +
              "huge.ppm: too large: 10000 x 10000 pixels are more than the limit of 50 "
              "megapixels\n",
          stem + "truncated.jpg: damaged JPEG: Premature end of input file\n",
          stem + "truncated.png: damaged PNG: the file ends too early\n",
          stem + "zero.png: the file is empty (0 bytes)\n"};
}

TEST(BadData, UnreadablePicturesAreSkippedCountedAndNamed) {
  const TinySetup tiny;
  add_bad_pictures(tiny);
  // Three epochs: each leaves one of the 17 out, because four are not a batch.
  const Outcome outcome = tiny.train({"steps=12", "data.max_bad_share=0.3"});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  for (const std::string& sentence : bad_picture_sentences(tiny)) {
    EXPECT_THAT(outcome.err, HasSubstr("warning: image skipped: " + sentence));
  }
  EXPECT_EQ(outcome.last_error_line(), "warning: 5 unreadable images were skipped (named above)");
  EXPECT_TRUE(fs::exists(tiny.run() / "checkpoints" / "step-00000012"));
}

TEST(BadData, PreviewsLeaveOutUnreadablePictures) {
  const TinySetup tiny;
  add_bad_pictures(tiny);
  const Outcome outcome = tiny.train(
      {"steps=4", "data.max_bad_share=0.3", "output.preview_every=4", "output.preview_images=16"});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_TRUE(fs::exists(tiny.run() / "samples" / "step-00000004.png"));
}

TEST(BadData, TooManyUnreadablePicturesStopTheRun) {
  const TinySetup tiny;
  const std::string bad = (tiny.data() / "pear" / "x.png").string();
  io::write_bytes(bad, "");
  expect_user_error(tiny.train({"steps=12"}),
                    "1 of 13 images cannot be read, more than data.max_bad_share (0.01) allows: " +
                        bad + "; repair or remove them, or for training raise data.max_bad_share");
  EXPECT_EQ(partial_files(tiny.root()), std::vector<std::string>());
}

TEST(BadData, UnusualButValidPicturesAreNotSkipped) {
  // 16 bits, one bit, grey, palette, CMYK, with and without transparency, progressive, one pixel.
  const TinySetup tiny;
  const fs::path data = tiny.root() / "unusual";
  fs::create_directories(data);
  fs::copy(kGoldenPictures / "images", data / "pictures");
  const Outcome check = tiny.gear({"data", "check", data.string()});
  EXPECT_EQ(check.exit_code, exit_code::kSuccess) << check.err;
  const Outcome train = tiny.train({"data.path=" + data.string(), "steps=8"});
  EXPECT_EQ(train.exit_code, exit_code::kSuccess) << train.err;
  EXPECT_EQ(train.err.find("skipped"), std::string::npos) << train.err;
  EXPECT_TRUE(fs::exists(tiny.run() / "checkpoints" / "step-00000008"));
}

TEST(BadData, HeldOutPicturesMayHaveMoreClassesThanTheModel) {
  const TinySetup tiny;
  const fs::path held_out = tiny.root() / "held-out";
  write_pictures(held_out, 1);
  io::write_png(held_out / "quince" / "0.png", noise_image(7));
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  const Outcome outcome = tiny.gear({"eval", tiny.run().string(), "--data", held_out.string()});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("reconstruction of 3 pictures"));
}

TEST(DataCheck, CountsClassesAndSizes) {
  const TinySetup tiny;
  const Outcome outcome = tiny.gear({"data", "check", tiny.data().string()});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess);
  EXPECT_EQ(outcome.out, tiny.data().string() +
                             ": 12 pictures in 2 classes\n"
                             "     0  apple                                     6\n"
                             "     1  pear                                      6\n"
                             "sides from 18 to 20 pixels\n");
}

TEST(DataCheck, LooksAtTrainAndAtVal) {
  const TinySetup tiny;
  write_pictures(tiny.root() / "set" / "train");
  write_pictures(tiny.root() / "set" / "val", /*per_class=*/2);
  const Outcome outcome = tiny.gear({"data", "check", (tiny.root() / "set").string()});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess);
  EXPECT_THAT(outcome.out, HasSubstr("set/train: 12 pictures in 2 classes\n"));
  EXPECT_THAT(outcome.out, HasSubstr("set/val: 4 pictures in 2 classes\n"));
}

TEST(DataCheck, NamesEveryUnreadablePictureAndFails) {
  const TinySetup tiny;
  add_bad_pictures(tiny);
  const Outcome outcome = tiny.gear({"data", "check", tiny.data().string()});
  expect_user_error(outcome,
                    tiny.data().string() +
                        ": 5 of 17 pictures cannot be read (named above); repair or remove them. "
                        "Training skips them while their share is at most data.max_bad_share");
  for (const std::string& sentence : bad_picture_sentences(tiny)) {
    EXPECT_THAT(outcome.err, HasSubstr("warning: " + sentence));
  }
}

TEST(DataEmoji, HoldingEveryPictureOutIsRefused) {
  const TinySetup tiny;
  const fs::path out = tiny.root() / "emoji";
  expect_user_error(
      tiny.gear({"data", "emoji", "--out", out.string(), "--val-every", "1"}),
      "val_every: must be 0 (nothing held out) or at least 2 (1 leaves nothing to train on), got 1");
  EXPECT_FALSE(fs::exists(out));
}

TEST(DataEmoji, MissingFontNamesThePackage) {
  const TinySetup tiny;
  const fs::path out = tiny.root() / "emoji";
  expect_user_error(tiny.gear({"data", "emoji", "--out", out.string(), "--font", "/none.ttf"}),
                    "/none.ttf: the font is not there; install the Debian package "
                    "fonts-noto-color-emoji");
  EXPECT_FALSE(fs::exists(out));
}

}  // namespace
}  // namespace gear::cli::testing
