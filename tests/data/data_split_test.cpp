#include "gear/data/data_split.h"

#include <gtest/gtest.h>

#include "io/temporary_folder.h"

namespace gear::data {
namespace {

using io::TemporaryFolder;

void make_folders(const TemporaryFolder& root, std::initializer_list<const char*> names) {
  for (const char* name : names) std::filesystem::create_directories(root / name);
}

TEST(DataSplit, TrainAndValInOneFolderAreTakenApart) {
  const TemporaryFolder folder;
  make_folders(folder, {"train/cats", "val/cats", "test/cats", ".cache"});
  const auto split = split_folder(folder.path());
  EXPECT_EQ(split.train, folder / "train");
  EXPECT_EQ(split.held_out, folder / "val");
}

TEST(DataSplit, WithoutValNothingIsHeldOut) {
  const TemporaryFolder folder;
  make_folders(folder, {"train/cats"});
  EXPECT_EQ(split_folder(folder.path()).train, folder / "train");
  EXPECT_EQ(split_folder(folder.path()).held_out, "");
}

TEST(DataSplit, AClassMayBeCalledTrain) {
  const TemporaryFolder folder;
  make_folders(folder, {"train", "car"});
  EXPECT_EQ(split_folder(folder.path()).train, folder.path());
  EXPECT_EQ(split_folder(folder.path()).held_out, "");
}

TEST(DataSplit, AMissingFolderIsLeftToWhoeverOpensIt) {
  EXPECT_EQ(split_folder("/no/such/folder").train, "/no/such/folder");
}

}  // namespace
}  // namespace gear::data
