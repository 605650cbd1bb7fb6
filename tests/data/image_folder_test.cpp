#include "gear/data/image_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/io/image.h"
#include "io/temporary_folder.h"

namespace gear::data {
namespace {

using io::error_of;
using io::TemporaryFolder;
using ::testing::ElementsAre;

void touch(const std::filesystem::path& path) {
  std::filesystem::create_directories(path.parent_path());
  io::write_bytes(path, "x");
}

std::string refusal(const std::filesystem::path& root) {
  return error_of([&] { ImageFolder folder(root); });
}

TEST(ImageFolder, ClassesAndFilesAreSortedByteByByte) {
  const TemporaryFolder folder;
  for (const char* file : {"b/2.png", "b/10.JPEG", "b/deep/er/1.webp", "B/x.tif", "B/notes.txt",
                           "B/noext", "a/z.PpM", "stray.txt"}) {
    touch(folder / file);
  }
  const ImageFolder images(folder.path());
  EXPECT_THAT(images.classes(), ElementsAre("B", "a", "b"));
  std::vector<std::string> files;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < images.size(); ++i) {
    files.push_back(images.path(i).lexically_relative(folder.path()).string());
    labels.push_back(images.label(i));
  }
  EXPECT_THAT(files, ElementsAre("B/x.tif", "a/z.PpM", "b/10.JPEG", "b/2.png", "b/deep/er/1.webp"));
  EXPECT_THAT(labels, ElementsAre(0, 1, 2, 2, 2));
}

TEST(ImageFolder, HiddenFoldersAreNoClasses) {
  const TemporaryFolder folder;
  for (const char* file : {".thumbnails/a.png", "cats/1.png", "dogs/1.png"}) touch(folder / file);
  EXPECT_THAT(ImageFolder(folder.path()).classes(), ElementsAre("cats", "dogs"));
}

TEST(ImageFolder, LinkedClassFoldersCount) {
  const TemporaryFolder folder;
  touch(folder / "elsewhere/a.png");
  std::filesystem::create_directories(folder / "set");
  std::filesystem::create_directory_symlink(folder / "elsewhere", folder / "set/linked");
  EXPECT_EQ(ImageFolder(folder / "set").size(), 1);
}

TEST(ImageFolder, AClassThatIsALinkToItselfIsNamed) {
  const TemporaryFolder folder;
  touch(folder / "a/1.png");
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_EQ(refusal(folder.path()),
            (folder / "loop").string() +
                ": cannot be told to be a folder or a file (Too many levels of symbolic links); "
                "repair or remove it");
}

TEST(ImageFolder, APictureThatIsALinkToItselfIsOneThatCannotBeRead) {
  const TemporaryFolder folder;
  touch(folder / "a/1.png");
  std::filesystem::create_symlink("loop.png", folder / "a/loop.png");
  const ImageFolder images(folder.path());
  EXPECT_EQ(images.size(), 2);
  EXPECT_EQ(error_of([&] { io::read_image(images.path(1)); }),
            (folder / "a/loop.png").string() + ": cannot open: Too many levels of symbolic links");
}

TEST(ImageFolder, EmptyClassFoldersAreAllowedAndNamed) {
  const TemporaryFolder folder;
  touch(folder / "b/1.png");
  std::filesystem::create_directories(folder / "a");
  ::testing::internal::CaptureStderr();
  const ImageFolder images(folder.path());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "warning: " + folder.path().string() + ": 1 of 2 class folders hold no picture: a\n");
  EXPECT_EQ(images.label(0), 1);
}

TEST(ImageFolder, AMissingFolderIsNamedWithTheLayoutItShouldHave) {
  const TemporaryFolder folder;
  const std::string root = (folder / "set").string();
  const std::string layout = "expected one sub-folder per class with its pictures in it, " + root +
                             "/<class>/<picture>.jpg";
  EXPECT_EQ(refusal(root), root + ": there is no such folder; " + layout);

  touch(root);
  EXPECT_EQ(refusal(root), root + ": is a file, not a folder; " + layout);

  std::filesystem::remove(root);
  std::filesystem::create_directories(root);
  EXPECT_EQ(refusal(root), root + ": is empty; " + layout);

  touch(root + "/readme.txt");
  EXPECT_EQ(refusal(root), root + ": holds no class folders; " + layout);

  touch(root + "/cat.png");
  EXPECT_EQ(refusal(root), root + ": holds pictures (cat.png) but no class folders; " + layout);

  std::filesystem::create_directories(root + "/cats");
  EXPECT_EQ(refusal(root), root +
                               ": none of its class folders (1) holds a picture; expected files "
                               "that end in jpg, jpeg, png, ppm, bmp, pgm, tif, tiff, webp");
}

}  // namespace
}  // namespace gear::data
