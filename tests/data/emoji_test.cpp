#include "gear/data/emoji.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "data/emoji_list.h"
#include "gear/data/image_folder.h"
#include "gear/io/image.h"
#include "io/temporary_folder.h"

namespace gear::data {
namespace {

using io::error_of;
using io::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kList = R"(# emoji-test.txt
# group: Smileys & Emotion
# subgroup: face-smiling
1F600                 ; fully-qualified     # G E1.0 grinning face
1F603                 ; fully-qualified     # G E0.6 grinning face with big eyes
263A                  ; unqualified         # G E0.6 smiling face
# group: People & Body
# subgroup: hand-fingers-open
1F44B                 ; fully-qualified     # G E0.6 waving hand
1F44B 1F3FB           ; fully-qualified     # G E1.0 waving hand: light skin tone
1F469 200D 1F373      ; fully-qualified     # G E4.0 woman cook
1F600 1F600           ; fully-qualified     # G E0.0 two pictures side by side
)";

TEST(EmojiList, KeepsFullyQualifiedSequencesWithTheirGroup) {
  const TemporaryFolder folder;
  io::write_bytes(folder / "list.txt", kList);
  const auto list = read_emoji_list(folder / "list.txt", /*skin_tones=*/false);
  ASSERT_EQ(list.size(), 5U);
  EXPECT_EQ(list[0].name, "grinning face");
  EXPECT_EQ(list[2].group, "People & Body");
  EXPECT_EQ(list[2].subgroup, "hand-fingers-open");
  EXPECT_EQ(code_points_text(list[3]), "1f469-200d-1f373");
  EXPECT_EQ(read_emoji_list(folder / "list.txt", true).size(), 6U);
  EXPECT_EQ(slug("Smileys & Emotion"), "smileys-emotion");
}

class EmojiTest : public ::testing::Test {
 protected:
  EmojiTest() {
    io::write_bytes(folder_ / "list.txt", kList);
    options_.out = folder_ / "set";
    options_.list = folder_ / "list.txt";
    options_.size = 32;
    options_.val_every = 2;
    if (!std::filesystem::exists(options_.font)) {
      skip_ = "the Debian package fonts-noto-color-emoji is not installed";
    }
  }
  TemporaryFolder folder_;
  EmojiOptions options_;
  std::string skip_;
};

TEST_F(EmojiTest, WritesTwoImageFoldersWithEqualClassesAndCaptions) {
  if (!skip_.empty()) GTEST_SKIP() << skip_;
  const EmojiSummary summary = render_emoji(options_);
  EXPECT_EQ(summary.train_images, 2);
  EXPECT_EQ(summary.val_images, 2);
  EXPECT_EQ(summary.classes, 2);
  EXPECT_EQ(summary.skipped, 1);
  const ImageFolder train(options_.out / "train");
  const ImageFolder val(options_.out / "val");
  EXPECT_THAT(train.classes(), ElementsAre("people-body", "smileys-emotion"));
  EXPECT_EQ(val.classes(), train.classes());
  EXPECT_EQ(train.path(0).filename(), "0002_1f44b.png");
  EXPECT_EQ(val.path(0).filename(), "0003_1f469-200d-1f373.png");
  const io::Image image = io::read_image(train.path(0));
  EXPECT_EQ(image.width, 32);
  EXPECT_EQ(image.height, 32);
  EXPECT_THAT(std::vector<uint8_t>(image.pixels.begin(), image.pixels.begin() + 3),
              ElementsAre(255, 255, 255));

  const std::string captions = io::read_bytes(options_.out / "captions.jsonl");
  const auto first = nlohmann::json::parse(captions.substr(0, captions.find('\n')));
  EXPECT_EQ(first["file"], "train/smileys-emotion/0000_1f600.png");
  EXPECT_EQ(first["caption"], "grinning face");
  EXPECT_EQ(first["label"], 1);
}

TEST_F(EmojiTest, AgainWithEqualOptionsDoesNothingAndWithOthersIsRefused) {
  if (!skip_.empty()) GTEST_SKIP() << skip_;
  render_emoji(options_);
  const auto made = std::filesystem::last_write_time(options_.out / "manifest.json");
  EXPECT_EQ(render_emoji(options_).train_images, 2);
  EXPECT_EQ(std::filesystem::last_write_time(options_.out / "manifest.json"), made);
  options_.size = 64;
  EXPECT_EQ(error_of([&] { render_emoji(options_); }),
            options_.out.string() +
                ": holds a set of emoji made with another size (32, now 64); name "
                "another folder or remove it");
}

TEST_F(EmojiTest, HoldingEveryPictureOutIsRefused) {
  options_.val_every = 1;
  EXPECT_EQ(
      error_of([&] { render_emoji(options_); }),
      "val_every: must be 0 (nothing held out) or at least 2 (1 leaves nothing to train on), got 1");
  EXPECT_FALSE(std::filesystem::exists(options_.out));
}

TEST_F(EmojiTest, AForeignFolderIsLeftAlone) {
  if (!skip_.empty()) GTEST_SKIP() << skip_;
  std::filesystem::create_directories(options_.out);
  io::write_bytes(options_.out / "precious.txt", "keep");
  EXPECT_EQ(error_of([&] { render_emoji(options_); }),
            options_.out.string() +
                ": exists already and is no set of emoji; name another folder or "
                "remove it");
  EXPECT_EQ(io::read_bytes(options_.out / "precious.txt"), "keep");
}

TEST_F(EmojiTest, AMissingFontOrListNamesItsPackage) {
  EmojiOptions options = options_;
  options.font = "/none/font.ttf";
  EXPECT_EQ(error_of([&] { render_emoji(options); }),
            "/none/font.ttf: the font is not there; install the Debian package "
            "fonts-noto-color-emoji");
  if (!skip_.empty()) GTEST_SKIP() << skip_;
  options = options_;
  options.list = "/none/list.txt";
  EXPECT_EQ(
      error_of([&] { render_emoji(options); }),
      "/none/list.txt: the list of emoji is not there; install the Debian package unicode-data");
  options = options_;
  io::write_bytes(folder_ / "no.ttf", "no font");
  options.font = folder_ / "no.ttf";
  EXPECT_THAT(error_of([&] { render_emoji(options); }),
              HasSubstr("is not a font that can be read"));
  EXPECT_FALSE(std::filesystem::exists(options.out));
}

/// What a user gets who says nothing but where to write.
class DefaultEmojiTest : public ::testing::Test {
 protected:
  DefaultEmojiTest() {
    options_.out = folder_ / "set";
    for (const auto& [file, package] : {std::pair(options_.font, "fonts-noto-color-emoji"),
                                        std::pair(options_.list, "unicode-data")}) {
      if (!std::filesystem::exists(file)) skip_ = std::string(package) + " is not installed";
    }
  }
  TemporaryFolder folder_;
  EmojiOptions options_;
  std::string skip_;
};

TEST_F(DefaultEmojiTest, HoldsAbout1900PicturesOfNineGroupsATenthOfThemHeldOut) {
  if (!skip_.empty()) GTEST_SKIP() << skip_;
  const EmojiSummary summary = render_emoji(options_);
  const int64_t pictures = summary.train_images + summary.val_images;
  EXPECT_GE(pictures, 1800);
  EXPECT_LE(pictures, 2000);
  EXPECT_EQ(summary.classes, 9);
  EXPECT_EQ(summary.val_images, pictures / 10);
  const ImageFolder train(options_.out / "train");
  const ImageFolder val(options_.out / "val");
  EXPECT_EQ(train.size(), summary.train_images);
  EXPECT_EQ(val.size(), summary.val_images);
  EXPECT_EQ(train.classes(), val.classes());
  EXPECT_EQ(io::read_image(train.path(0)).width, 136);

  std::istringstream captions(io::read_bytes(options_.out / "captions.jsonl"));
  int64_t lines = 0;
  for (std::string line; std::getline(captions, line); ++lines) {
    const auto entry = nlohmann::json::parse(line);
    const auto file = entry.at("file").get<std::string>();
    EXPECT_TRUE(std::filesystem::exists(options_.out / file)) << file;
    EXPECT_FALSE(entry.at("caption").get<std::string>().empty()) << file;
    for (const char* tone : {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}) {
      EXPECT_EQ(file.find(tone), std::string::npos) << file;
    }
  }
  EXPECT_EQ(lines, pictures);
}

TEST_F(DefaultEmojiTest, SubgroupsAreAboutAHundredAndSkinTonesComeOnRequest) {
  if (!skip_.empty()) GTEST_SKIP() << skip_;
  std::set<std::string> subgroups;
  const auto list = read_emoji_list(options_.list, /*skin_tones=*/false);
  for (const Emoji& emoji : list) subgroups.insert(slug(emoji.subgroup));
  EXPECT_GE(subgroups.size(), 90U);
  EXPECT_LE(subgroups.size(), 110U);
  const auto with_tones = read_emoji_list(options_.list, /*skin_tones=*/true);
  EXPECT_GT(with_tones.size(), list.size() + 1500);
}

}  // namespace
}  // namespace gear::data
