// Output folders that cannot be written, disks that fill up, and checkpoints that do not fit.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "cli/tiny_setup.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

/// A file system of a given size in memory, mounted while the object lives.
class SmallDisk {
 public:
  SmallDisk(fs::path folder, const std::string& size) : folder_(std::move(folder)) {
    fs::create_directories(folder_);
    mounted_ = mount("tmpfs", folder_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  void make_read_only() const {
    ASSERT_EQ(mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr), 0);
  }

 private:
  fs::path folder_;
  bool mounted_ = false;
};

TEST(BadOutput, FileInPlaceOfTheRunFolderIsNamed) {
  const TinySetup tiny;
  io::write_bytes(tiny.run(), "already a file");
  expect_user_error(tiny.train(), tiny.run().string() +
                                      ": cannot create the folder: Not a directory; set run_dir to "
                                      "a folder that you may write to");
  EXPECT_EQ(io::read_bytes(tiny.run()), "already a file");
}

TEST(BadOutput, RunFolderAmongThePicturesIsRefused) {
  const TinySetup tiny;
  for (const char* below : {"", "run", "apple/run", "apple/../run"}) {
    const std::string run = (tiny.data() / below).string();
    expect_user_error(tiny.train({"run_dir=" + run}),
                      "run_dir: " + run + ": lies in the picture folder " + tiny.data().string() +
                          ", where its folders would count as classes; name a folder outside of "
                          "it");
  }
  EXPECT_FALSE(fs::exists(tiny.data() / "run"));
  EXPECT_EQ(tiny.train({"run_dir=" + tiny.data().string() + "-run"}).exit_code,
            exit_code::kSuccess);
}

TEST(BadOutput, ReadOnlyFolderIsNamed) {
  const TinySetup tiny;
  const SmallDisk disk(tiny.root() / "disk", "1m");
  if (!disk.mounted()) GTEST_SKIP() << "no permission to mount a file system";
  disk.make_read_only();
  const std::string run = (tiny.root() / "disk" / "run").string();
  expect_user_error(tiny.train({"run_dir=" + run}),
                    run +
                        ": cannot create the folder: Read-only file system; set run_dir to a "
                        "folder that you may write to");
}

TEST(BadOutput, FolderWithoutWritePermissionIsNamed) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const TinySetup tiny;
  const fs::path closed = tiny.root() / "closed";
  fs::create_directories(closed);
  fs::permissions(closed, fs::perms::owner_read | fs::perms::owner_exec);
  const std::string run = (closed / "run").string();
  expect_user_error(tiny.train({"run_dir=" + run}),
                    run +
                        ": cannot create the folder: Permission denied; set run_dir to a folder "
                        "that you may write to");
}

TEST(BadOutput, FullDiskWhileSavingLeavesNothingHalfWritten) {
  const TinySetup tiny;
  const SmallDisk disk(tiny.root() / "disk", "200k");
  if (!disk.mounted()) GTEST_SKIP() << "no permission to mount a file system";
  const std::string run = (tiny.root() / "disk" / "run").string();
  const Outcome outcome = tiny.train({"run_dir=" + run, "steps=2"});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(),
              MatchesRegex("error: " + run +
                           "/checkpoints/\\.step-00000002\\.partial/[a-z_.0-9-]+: "
                           "cannot write: No space left on device; free space there or choose "
                           "another output folder"));
  EXPECT_FALSE(fs::exists(run + "/checkpoints"));
  EXPECT_EQ(partial_files(run), std::vector<std::string>());
}

TEST(BadOutput, FailedSaveLeavesTheEarlierCheckpointFromWhichTheRunGoesOn) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=2"}).exit_code, exit_code::kSuccess);
  const auto before = weight_sums(tiny.run() / "checkpoints" / "step-00000002");

  // No file may grow beyond: like a full disk. The log already has, and must not complain as well.
  constexpr rlim_t kMostBytes = 64 << 10;
  io::write_bytes(tiny.run() / "log.txt", std::string(kMostBytes, '\n'));
  const Outcome outcome =
      run_gear(tiny.root(), tiny.train_arguments({"steps=4"}), {.file_bytes = kMostBytes});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(),
              MatchesRegex("error: .*/checkpoints/\\.step-00000004\\.partial/[a-z_.0-9-]+: cannot "
                           "write: File too large; raise the limit on file size \\(ulimit -f\\) or "
                           "choose another output folder"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("LOG ERROR")));
  EXPECT_EQ(partial_files(tiny.run()), std::vector<std::string>());
  EXPECT_EQ(weight_sums(tiny.run() / "checkpoints" / "step-00000002"), before);

  const Outcome again = tiny.train({"steps=4"});
  EXPECT_EQ(again.exit_code, exit_code::kSuccess) << again.err;
  EXPECT_THAT(again.err, HasSubstr("going on from"));
  EXPECT_TRUE(fs::exists(tiny.run() / "checkpoints" / "step-00000004"));
}

TEST(BadOutput, FolderForSamplesIsTriedBeforeAnythingIsLoaded) {
  const TinySetup tiny;
  const std::string file = (tiny.root() / "file").string();
  io::write_bytes(file, "text");
  expect_user_error(tiny.gear({"sample", "nowhere", "--out", file}),
                    "--out " + file + ": " + file +
                        " is a file, not a folder; name a folder that "
                        "you may write to");
  expect_user_error(tiny.gear({"sample", "nowhere", "--out", file + "/below"}),
                    "--out " + file + "/below: " + file +
                        " is a file, not a folder; name a folder "
                        "that you may write to");

  const SmallDisk disk(tiny.root() / "disk", "1m");
  if (!disk.mounted()) GTEST_SKIP() << "no permission to mount a file system";
  disk.make_read_only();
  const std::string folder = (tiny.root() / "disk").string();
  expect_user_error(tiny.gear({"sample", "nowhere", "--out", folder + "/out"}),
                    "--out " + folder + "/out: cannot write in " + folder +
                        ": Read-only file system; name a folder that you may write to");
}

TEST(BadOutput, MemoryThatRunsOutWhileSamplingIsToldInOneSentence) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  constexpr rlim_t kMostBytes = rlim_t{4} << 30;  // the keys of the two blocks alone take 5.5 GB
  const Outcome outcome =
      run_gear(tiny.root(),
               {"sample", tiny.run().string(), "--classes", "0", "--per-class", "300000", "--batch",
                "300000", "--threads", "1", "--out", (tiny.root() / "out").string()},
               {.memory_bytes = kMostBytes});
  const std::string sentence =
      "out of memory; gear train needs less with a lower data.batch_size or a higher "
      "optimizer.accumulation, gear sample, gear encode and gear eval with a lower --batch";
  expect_user_error(outcome, sentence);
  EXPECT_EQ(outcome.err, "error: " + sentence + "\n");
}

TEST(BadPath, ThatTheSystemRefusesIsNamed) {
  const TinySetup tiny;
  const std::string endless(300, 'x');
  expect_user_error(tiny.gear({"inspect", endless}),
                    endless + ": cannot be used: File name too long");
  const fs::path loop = tiny.root() / "loop";
  fs::create_symlink(loop, loop);
  expect_user_error(tiny.gear({"sample", loop.string(), "--out", (tiny.root() / "out").string()}),
                    loop.string() + ": cannot be used: Too many levels of symbolic links");
}

TEST(BadCheckpoint, AnotherArchitectureNamesTheTensorAndChangesNothing) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  const std::string config_before = io::read_bytes(tiny.run() / "config.yaml");
  const fs::path checkpoint = tiny.run() / "checkpoints" / "step-00000001";

  const Outcome outcome = tiny.train({"steps=2", "ar.dim=64"});
  expect_user_error(outcome, (checkpoint / "ar.safetensors").string() +
                                 ": cls_embedding.embedding_table.weight: expected [3, 64], got "
                                 "[3, 32]; the checkpoint belongs to another architecture: use the "
                                 "configuration it was made with");
  EXPECT_THAT(outcome.err,
              HasSubstr("warning: the configuration differs from that of " + checkpoint.string() +
                        ": steps: 1, now 2; ar.dim: 32, now 64"));
  EXPECT_EQ(io::read_bytes(tiny.run() / "config.yaml"), config_before);
  EXPECT_EQ(names_in(tiny.run() / "checkpoints"), std::set<std::string>{"step-00000001"});
}

TEST(BadCheckpoint, DamagedOneIsNamedAndTheOneBeforeIsUsed) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=2", "output.checkpoint_every=1"}).exit_code, exit_code::kSuccess);
  const fs::path file = tiny.run() / "checkpoints" / "step-00000002" / "tokenizer.safetensors";
  std::string bytes = io::read_bytes(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  io::write_bytes(file, bytes);

  expect_user_error(tiny.gear({"inspect", file.parent_path().string()}),
                    file.string() +
                        ": damaged: its SHA-256 is not the one in manifest.json; copy it again, or "
                        "name another checkpoint of the run");
  const Outcome outcome = tiny.train({"steps=3"});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess);
  EXPECT_THAT(outcome.err, HasSubstr("warning: " + file.string() +
                                     ": damaged: its SHA-256 is not the one in "
                                     "manifest.json; using step-00000001 instead"));
}

TEST(BadCheckpoint, ResumeFromNowhereSaysWhatIsExpected) {
  const TinySetup tiny;
  const std::string nowhere = (tiny.root() / "nowhere").string();
  expect_user_error(tiny.train({}, {"--resume", nowhere}),
                    "--resume " + nowhere +
                        ": no checkpoint there; expected a checkpoint folder, a "
                        "run folder, auto or none");
}

TEST(BadCheckpoint, RunIsNotStartedOverOnTopOfAnother) {
  const TinySetup tiny;
  ASSERT_EQ(tiny.train({"steps=1"}).exit_code, exit_code::kSuccess);
  expect_user_error(tiny.train({"steps=1"}, {"--resume", "none"}),
                    tiny.run().string() +
                        ": already holds a run (step-00000001); continue it with "
                        "--resume auto, or choose another run_dir");
}

TEST(BadCheckpoint, RunThatGoesOnNeedsItsInitialWeightsNoMore) {
  const TinySetup tiny;
  const fs::path first = tiny.root() / "first";
  ASSERT_EQ(tiny.train({"steps=1", "run_dir=" + first.string()}).exit_code, exit_code::kSuccess);
  ASSERT_EQ(tiny.train({"steps=1", "init.from=" + first.string()}).exit_code, exit_code::kSuccess);
  fs::remove_all(first);
  const Outcome outcome = tiny.train({"steps=2", "init.from=" + first.string()});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
}

TEST(BadCheckpoint, OptionBeforeTheCheckpointDoesNotSwallowIt) {
  const TinySetup tiny;
  const std::string nowhere = (tiny.root() / "nowhere").string();
  expect_user_error(tiny.gear({"sample", "--classes", "1,0", nowhere}),
                    nowhere + ": no such run folder or checkpoint");
}

TEST(BadCheckpoint, SamplingNeedsARunWithATransformer) {
  const TinySetup tiny;
  const std::string out = (tiny.root() / "out").string();
  expect_user_error(
      tiny.gear({"sample", tiny.data().string(), "--out", out}),
      tiny.data().string() +
          ": is neither a gear checkpoint nor a run folder with "
          "one; expected for example runs/NAME or runs/NAME/checkpoints/step-00001000");
  ASSERT_EQ(tiny.train({"recipe=tokenizer", "steps=1"}).exit_code, exit_code::kSuccess);
  expect_user_error(tiny.gear({"sample", tiny.run().string(), "--out", out}),
                    tiny.run().string() +
                        ": was trained by the recipe tokenizer and has no "
                        "transformer to sample from; train the recipe gear or ar first");
  EXPECT_FALSE(fs::exists(out));
}

}  // namespace
}  // namespace gear::cli::testing
