#include "gear/io/atomic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>

#include "gear/io/file_calls.h"
#include "gear/io/hash.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

TEST(AtomicFile, ReplacesTheOldContentAndLeavesNothingBeside) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "old");
  write_file_atomically(folder / "a", "new");
  EXPECT_EQ(read_bytes(folder / "a"), "new");
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(AtomicFile, CreatesMissingParentFolders) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x" / "y" / "a", "1");
  EXPECT_EQ(read_bytes(folder / "x" / "y" / "a"), "1");
}

TEST(AtomicFile, FailureInTheWriterKeepsTheOldContent) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "old");
  const auto message = error_of([&] {
    write_file_atomically(folder / "a", [](FileWriter& file) {
      file.write("half");
      fail("stopped in the middle");
    });
  });
  EXPECT_EQ(message, "stopped in the middle");
  EXPECT_EQ(read_bytes(folder / "a"), "old");
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(AtomicFile, LimitOnFileSizeIsASentenceAndKeepsTheOldContent) {
  const TemporaryFolder folder;
  write_bytes(folder / "a", "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto previous = std::signal(SIGXFSZ, SIG_IGN);  // so that write() returns EFBIG
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto message =
      error_of([&] { write_file_atomically(folder / "a", std::string(10000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, previous);
  EXPECT_THAT(message, HasSubstr("cannot write: File too large; raise the limit"));
  EXPECT_EQ(read_bytes(folder / "a"), "old");
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(AtomicFile, FullDiskIsASentenceAndLeavesNothing) {
  const TemporaryFolder folder;
  if (::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "mounting a small file system needs root";
  }
  const auto file_message =
      error_of([&] { write_file_atomically(folder / "a", std::string(200000, 'x')); });
  std::string folder_message;
  {
    AtomicDirectory directory(folder / "step");
    folder_message =
        error_of([&] { write_file_atomically(directory.path() / "a", std::string(200000, 'x')); });
  }
  const auto left = names_in(folder.path());
  ::umount(folder.path().c_str());
  EXPECT_THAT(file_message, HasSubstr("cannot write: No space left on device; free space"));
  EXPECT_THAT(folder_message, HasSubstr("No space left on device"));
  EXPECT_THAT(left, IsEmpty());
}

TEST(FileWriter, FullDeviceIsASentence) {
  FileWriter file("/dev/full");
  EXPECT_EQ(error_of([&] { file.write("x"); }),
            "/dev/full: cannot write: No space left on device; free space there or choose another "
            "output folder");
}

TEST(AtomicDirectory, AppearsOnlyWithTheCommit) {
  const TemporaryFolder folder;
  AtomicDirectory directory(folder / "step-1");
  write_bytes(directory.path() / "a", "1");
  fs::create_directories(directory.path() / "inner");
  write_bytes(directory.path() / "inner" / "b", "2");
  EXPECT_FALSE(fs::exists(folder / "step-1"));
  directory.commit();
  EXPECT_EQ(read_bytes(folder / "step-1" / "a"), "1");
  EXPECT_EQ(read_bytes(folder / "step-1" / "inner" / "b"), "2");
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(AtomicDirectory, WithoutACommitNothingStays) {
  const TemporaryFolder folder;
  {
    AtomicDirectory directory(folder / "step-1");
    write_bytes(directory.path() / "a", "1");
  }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(AtomicDirectory, ReplacesAnOlderFolderOfTheSameNameAsAWhole) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "step-1");
  write_bytes(folder / "step-1" / "old", "1");
  AtomicDirectory directory((folder / "step-1").string() + "/");
  write_bytes(directory.path() / "new", "2");
  directory.commit();
  EXPECT_THAT(names_in(folder / "step-1"), ::testing::ElementsAre("new"));
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

/// A file system that cannot exchange two folders.
struct WithoutExchange : FileCalls {
  explicit WithoutExchange(int its_error) : error(its_error) {}
  int exchange(const char*, const char*) override {
    errno = error;
    return -1;
  }
  int error;
};

/// Replaces `folder`/step-1, which holds "old", where an exchange fails with `error`.
void replace_without_exchange(const TemporaryFolder& folder, int error) {
  fs::create_directories(folder / "step-1");
  write_bytes(folder / "step-1" / "old", "1");
  AtomicDirectory directory(folder / "step-1");
  write_bytes(directory.path() / "new", "2");
  WithoutExchange calls(error);
  const ReplacedFileCalls replaced(calls);
  directory.commit();
}

TEST(AtomicDirectory, ReplacesAFolderAlsoWhereTheFileSystemCannotExchangeTwo) {
  for (const int error : {EINVAL, ENOSYS}) {
    const TemporaryFolder folder;
    replace_without_exchange(folder, error);
    EXPECT_THAT(names_in(folder / "step-1"), ::testing::ElementsAre("new"));
    EXPECT_EQ(names_in(folder.path()).size(), 1u);
  }
}

TEST(AtomicDirectory, AFolderThatCannotBeReplacedStays) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of([&] { replace_without_exchange(folder, EIO); }),
            (folder / "step-1").string() +
                ": cannot replace the folder of this name: Input/output error");
  EXPECT_THAT(names_in(folder / "step-1"), ::testing::ElementsAre("old"));
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(AtomicDirectory, LeftoversOfAKilledProcessAreReplacedOrRemoved) {
  const TemporaryFolder folder;
  const auto leftover = AtomicDirectory::temporary_path(folder / "step-1");
  fs::create_directories(leftover);
  write_bytes(leftover / "stale", "1");
  {
    AtomicDirectory directory(folder / "step-1");
    EXPECT_THAT(names_in(directory.path()), IsEmpty());
  }
  fs::create_directories(leftover);
  write_bytes(folder / ".a.1-2.partial", "1");
  write_bytes(folder / "kept", "1");
  remove_partial_files(folder.path());
  EXPECT_THAT(names_in(folder.path()), ::testing::ElementsAre("kept"));
}

TEST(AtomicDirectory, IsRemovedEvenOverWhatAnEarlierAttemptLeft) {
  const TemporaryFolder folder;
  for (const std::string name : {"step-1", ".step-1.partial"}) {
    fs::create_directories(folder / name);
    write_bytes(folder / name / "a", "1");
  }
  remove_directory_atomically(folder / "step-1");
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
  EXPECT_EQ(error_of([&] { remove_directory_atomically(folder / "step-1"); }),
            (folder / "step-1").string() + ": cannot remove: No such file or directory");
}

TEST(FileWriter, WritesAtAnyPlaceOfAnExistingFile) {
  const TemporaryFolder folder;
  const auto open_missing = [&] { FileWriter(folder / "a", FileWriter::Open::kExisting); };
  EXPECT_EQ(error_of(open_missing),
            (folder / "a").string() + ": cannot open: No such file or directory");
  {
    FileWriter file(folder / "a");
    file.write("head");
    file.resize(8);
    file.close();
  }
  FileWriter file(folder / "a", FileWriter::Open::kExisting);
  file.write_at(6, "x");
  file.close();
  EXPECT_EQ(read_bytes(folder / "a"), std::string("head\0\0x\0", 8));
}

TEST(Sha256, MatchesThePublishedVectors) {  // FIPS 180-2, appendix B
  EXPECT_EQ(sha256_of_bytes("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of_bytes(""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, OfAFileIsThatOfItsBytes) {
  const TemporaryFolder folder;
  const std::string bytes(3'000'000, 'x');
  write_bytes(folder / "a", bytes);
  EXPECT_EQ(sha256_of_file(folder / "a"), sha256_of_bytes(bytes));
  EXPECT_THAT(error_of([&] { sha256_of_file(folder.path()); }), HasSubstr("Is a directory"));
  EXPECT_EQ(sha256_of_range(folder / "a", 7, 2'500'000),
            sha256_of_bytes(bytes.substr(7, 2'500'000)));
  EXPECT_EQ(error_of([&] { sha256_of_range(folder / "a", 2'999'999, 2); }),
            (folder / "a").string() + ": ends at byte 3000000, before byte 3000001");
}

}  // namespace
}  // namespace gear::io
