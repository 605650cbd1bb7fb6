#include "gear/train/run_folder.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "gear/io/hash.h"
#include "gear/train/data_fingerprint.h"
#include "gear/train/metrics_log.h"
#include "interposed_fsync.h"
#include "tiny_run.h"

/// Takes the place of the C library's own.
extern "C" int fsync(int descriptor) {
  const int error = gear::train::testing::on_fsync();
  if (error == 0) return static_cast<int>(syscall(SYS_fsync, descriptor));
  errno = error;
  return -1;
}

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::message_of;
using testing::on_fsync;
using testing::read_text;
using testing::TemporaryFolder;

constexpr const char* kConfig = "# Steps.\nsteps: 10\nar:\n  # Blocks.\n  depth: 12\n";
constexpr const char* kOtherConfig = "# Steps.\nsteps: 10\nar:\n  # Blocks.\n  depth: 6\n";

RunFolderOptions options_for(const fs::path& path, const std::string& resume,
                             const std::string& config = kConfig) {
  return {
      .path = path, .config_yaml = config, .resume = Resume::parse(resume), .keep_checkpoints = 3};
}

void save_step(const RunFolder& folder, int64_t step) {
  folder.checkpoints().save({.step = step}, folder.config_yaml(),
                            {{"net", {{"a", at::zeros({1})}}}});
}

TEST(RunFolder, IsCreatedWithConfigAndLog) {
  const TemporaryFolder root;
  RunFolder folder(options_for(root.path() / "runs/a", "auto"));
  EXPECT_FALSE(folder.start().has_value());
  folder.save_config();
  EXPECT_EQ(read_text(root.path() / "runs/a/config.yaml"), kConfig);
  EXPECT_TRUE(fs::is_directory(root.path() / "runs/a/samples"));
  EXPECT_TRUE(fs::is_directory(root.path() / "runs/a/checkpoints"));
  EXPECT_TRUE(fs::exists(root.path() / "runs/a/log.txt"));
}

TEST(RunFolder, AStartThatIsRefusedLeavesNothingThatItCreated) {
  const TemporaryFolder root;
  { const RunFolder refused(options_for(root.path() / "runs/a", "auto")); }
  EXPECT_FALSE(fs::exists(root.path() / "runs"));
  const std::string nowhere = (root.path() / "nowhere").string();
  message_of([&] { RunFolder refused(options_for(root.path() / "runs/a", nowhere)); });
  EXPECT_FALSE(fs::exists(root.path() / "runs"));

  const fs::path own = root.path() / "runs/a/notes.txt";
  fs::create_directories(own.parent_path());
  std::ofstream(own) << "text";
  { const RunFolder refused(options_for(root.path() / "runs/a", "auto")); }
  const fs::directory_iterator left(root.path() / "runs/a");
  EXPECT_EQ(std::vector<fs::path>(fs::begin(left), fs::end(left)), std::vector<fs::path>{own});
}

TEST(RunFolder, AStartThatIsRefusedRemovesOnlyWhatItCreated) {
  const TemporaryFolder root;
  const fs::path notes = root.path() / "notes.txt", empty = root.path() / "empty";
  std::ofstream(notes) << "text";
  fs::create_directories(empty);
  const auto through_nowhere = root.path() / "nowhere/..";
  message_of([&] { RunFolder refused(options_for(through_nowhere / "notes.txt/run", "auto")); });
  EXPECT_TRUE(fs::exists(notes));
  { const RunFolder refused(options_for(through_nowhere / "empty", "auto")); }
  EXPECT_TRUE(fs::exists(empty));
  EXPECT_FALSE(fs::exists(root.path() / "nowhere"));
}

TEST(RunFolder, AStartThatIsRefusedLeavesARunAsItWas) {
  const TemporaryFolder root;
  RunFolder(options_for(root.path(), "auto")).save_config();
  { const RunFolder refused(options_for(root.path(), "auto")); }
  for (const char* kept : {"config.yaml", "log.txt", "samples", ".lock"}) {
    EXPECT_TRUE(fs::exists(root.path() / kept)) << kept;
  }
}

TEST(RunFolder, AFolderThatCannotBeMadeIsASentence) {
  const TemporaryFolder root;
  std::ofstream(root.path() / "file") << "not a folder";
  const fs::path path = root.path() / "file" / "run";
  EXPECT_EQ(message_of([&] { RunFolder folder(options_for(path, "auto")); }),
            path.string() +
                ": cannot create the folder: Not a directory; set run_dir to a folder that "
                "you may write to");
}

TEST(RunFolder, TwoRunsCannotShareIt) {
  const TemporaryFolder root;
  {
    const RunFolder first(options_for(root.path(), "auto"));
    EXPECT_EQ(message_of([&] { RunFolder second(options_for(root.path(), "auto")); }),
              root.path().string() +
                  ": another process is training in this folder; wait for it, stop "
                  "it, or choose another run_dir");
  }
  const RunFolder again(options_for(root.path(), "auto"));
}

TEST(RunFolder, NoneRefusesARunWithCheckpoints) {
  const TemporaryFolder root;
  save_step(RunFolder(options_for(root.path(), "none")), 4);
  EXPECT_EQ(message_of([&] { RunFolder folder(options_for(root.path(), "none")); }),
            root.path().string() +
                ": already holds a run (step-00000004); continue it with --resume "
                "auto, or choose another run_dir");
}

TEST(RunFolder, ARunOfAnotherConfigurationIsNotOverwritten) {
  const TemporaryFolder root;
  {
    RunFolder folder(options_for(root.path(), "none"));
    folder.save_config();
    MetricsLog(folder.metrics_path(), 0).write(2, {{"loss", 1.0}});
  }
  for (const char* resume : {"none", "auto"}) {
    EXPECT_EQ(message_of([&] { RunFolder folder(options_for(root.path(), resume, kOtherConfig)); }),
              root.path().string() +
                  ": already holds a run with another configuration (ar.depth: 12, "
                  "now 6); choose another run_dir");
    const RunFolder same(options_for(root.path(), resume));
    EXPECT_FALSE(same.start().has_value());
  }
}

TEST(RunFolder, AutoGoesOnAndNamesChangedKeys) {
  const TemporaryFolder root;
  save_step(RunFolder(options_for(root.path(), "auto")), 4);
  ::testing::internal::CaptureStderr();
  const RunFolder folder(options_for(root.path(), "auto", kOtherConfig));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("ar.depth: 12, now 6"));
  ASSERT_TRUE(folder.start().has_value());
  EXPECT_EQ(folder.start()->position().step, 4);
}

TEST(RunFolder, APathCanNameACheckpointOfAnotherRun) {
  const TemporaryFolder root;
  save_step(RunFolder(options_for(root.path() / "a", "auto")), 4);
  const RunFolder folder(options_for(root.path() / "b", (root.path() / "a").string()));
  EXPECT_EQ(folder.start()->position().step, 4);
}

TEST(RunFolder, APathToAnotherRunIsRefusedWhereARunIs) {
  const TemporaryFolder root;
  const std::string other = (root.path() / "a" / "checkpoints" / "step-00000008/").string();
  save_step(RunFolder(options_for(root.path() / "a", "auto")), 8);
  const auto refusal = [&](const std::string& found) {
    return (root.path() / "b").string() + ": already holds a run (" + found + "), which --resume " +
           other + " would overwrite; continue it with --resume auto, or choose another run_dir";
  };
  const auto resume = [&] { RunFolder folder(options_for(root.path() / "b", other)); };

  const std::string metrics = "{\"step\":2,\"loss\":0.5}\n";
  fs::create_directories(root.path() / "b");
  std::ofstream(root.path() / "b" / "metrics.jsonl") << metrics;
  EXPECT_EQ(message_of(resume), refusal("metrics.jsonl"));
  save_step(RunFolder(options_for(root.path() / "b", "none", "")), 4);
  EXPECT_EQ(message_of(resume), refusal("step-00000004"));
  EXPECT_EQ(read_text(root.path() / "b" / "metrics.jsonl"), metrics);
}

TEST(RunFolder, APathIntoTheRunItselfIsItsOwnStart) {
  const TemporaryFolder root;
  save_step(RunFolder(options_for(root.path(), "auto")), 8);
  for (const char* path : {"", "checkpoints", "checkpoints/step-00000008",
                           "checkpoints/step-00000008/", "checkpoints/../checkpoints/./"}) {
    const RunFolder folder(options_for(root.path(), (root.path() / path).string()));
    EXPECT_TRUE(folder.start_is_own()) << path;
  }
}

TEST(RunFolder, APathWithoutACheckpointIsASentence) {
  const TemporaryFolder root;
  const std::string path = (root.path() / "nothing").string();
  EXPECT_EQ(message_of([&] { RunFolder folder(options_for(root.path() / "b", path)); }),
            "--resume " + path +
                ": no checkpoint there; expected a checkpoint folder, a run folder, "
                "auto or none");
}

TEST(RunFolder, GoingBackBehindANewerCheckpointIsRefused) {
  const TemporaryFolder root;
  {
    const RunFolder folder(options_for(root.path(), "auto"));
    save_step(folder, 4);
    save_step(folder, 8);
  }
  const std::string earlier = (root.path() / "checkpoints/step-00000004").string();
  EXPECT_EQ(message_of([&] { RunFolder folder(options_for(root.path(), earlier)); }),
            root.path().string() +
                ": its checkpoint step-00000008 is newer than step 4, from which "
                "--resume would go on; remove the newer ones or choose another run_dir");
}

TEST(RunFolder, RemovesWhatAKilledRunLeftUnfinished) {
  const TemporaryFolder root;
  const fs::path checkpoint = root.path() / "checkpoints/.step-00000002.partial";
  const fs::path picture = root.path() / "samples/.step-00000002.png.12-3.partial";
  fs::create_directories(checkpoint);
  fs::create_directories(picture.parent_path());
  std::ofstream(picture) << "half";
  const RunFolder folder(options_for(root.path(), "auto"));
  EXPECT_FALSE(fs::exists(checkpoint));
  EXPECT_FALSE(fs::exists(picture));
}

TEST(RunFolder, TheLogTellsWhichDamagedCheckpointWasPassedOver) {
  const TemporaryFolder root;
  {
    const RunFolder folder(options_for(root.path(), "auto"));
    save_step(folder, 4);
    save_step(folder, 8);
  }
  const fs::path damaged = root.path() / "checkpoints/step-00000008/net.safetensors";
  fs::remove(damaged);
  const RunFolder folder(options_for(root.path(), "auto", kOtherConfig));
  const std::string log = read_text(root.path() / "log.txt");
  EXPECT_THAT(log, HasSubstr("warning: " + damaged.string() +
                             ": missing, though manifest.json lists it; using step-00000004"));
  EXPECT_THAT(log, HasSubstr("warning: the configuration differs from that of"));
}

TEST(RunFolder, AnotherDataSetIsNamedWhenARunGoesOn) {
  const TemporaryFolder root;
  const DataFingerprint before = {.images = 1900, .names_sha256 = "a"};
  RunFolderOptions options = options_for(root.path(), "auto");
  RunFolder(options).checkpoints().save({.step = 4, .data = before}, kConfig,
                                        {{"net", {{"a", at::zeros({1})}}}});
  const auto printed_with = [&](const DataFingerprint& now) {
    options.data = now;
    ::testing::internal::CaptureStderr();
    const RunFolder folder(options);
    return ::testing::internal::GetCapturedStderr();
  };
  const std::string start = "warning: the data set is not the one that " +
                            (root.path() / "checkpoints/step-00000004").string() +
                            " was trained on: 1,900 images then, ";
  const std::string end = " now; the run goes on, but is not the one it would have been\n";
  EXPECT_EQ(printed_with({.images = 1901, .names_sha256 = "b"}), start + "1,901" + end);
  EXPECT_EQ(printed_with({.images = 1900, .names_sha256 = "b"}),
            start + "1,900 with other names" + end);
  EXPECT_EQ(printed_with(before), "");
  EXPECT_EQ(printed_with({}), "");
}

TEST(DataFingerprint, FollowsFromTheNamesAloneWhereverTheFolderIs) {
  const TemporaryFolder root;
  const auto write = [&](const fs::path& file) {
    fs::create_directories((root.path() / file).parent_path());
    std::ofstream(root.path() / file) << file;
  };
  for (const char* file : {"a/x/1.png", "a/y/2.png", "b/x/1.png", "b/y/2.png"}) write(file);
  const auto fingerprint = [&](const char* folder) {
    return data_fingerprint(data::ImageFolder(root.path() / folder));
  };
  const DataFingerprint expected = {.images = 2,
                                    .names_sha256 = io::sha256_of_bytes("x/1.png\ny/2.png\n")};
  EXPECT_EQ(fingerprint("a"), expected);
  EXPECT_EQ(fingerprint("b/"), expected);
  fs::rename(root.path() / "b/y/2.png", root.path() / "b/y/3.png");
  EXPECT_NE(fingerprint("b"), expected);
}

TEST(MetricsLog, DropsLaterLinesAndAnUnfinishedOne) {
  const TemporaryFolder root;
  const fs::path path = root.path() / "metrics.jsonl";
  {
    MetricsLog log(path, 0);
    log.write(2, {{"loss", 0.5}});
    log.write(4, {{"loss", std::nan("")}});
    log.write(6, {{"loss", 0.25}});
  }
  EXPECT_EQ(read_text(path),
            "{\"step\":2,\"loss\":0.5}\n{\"step\":4,\"loss\":null}\n{\"step\":6,\"loss\":0.25}\n");
  std::ofstream(path, std::ios::app) << "{\"step\":7,\"lo";
  { const MetricsLog log(path, 6); }
  EXPECT_THAT(read_text(path), ::testing::EndsWith("\"loss\":0.25}\n"));
  { const MetricsLog log(path, 5); }
  EXPECT_EQ(read_text(path), "{\"step\":2,\"loss\":0.5}\n{\"step\":4,\"loss\":null}\n");
}

TEST(MetricsLog, LinesThatDoNotReachTheDiskAreAnError) {
  const TemporaryFolder root;
  const fs::path path = root.path() / "metrics.jsonl";
  MetricsLog log(path, 0);
  log.write(2, {{"loss", 0.5}});
  on_fsync = [] { return EIO; };
  const std::string message = message_of([&] { log.sync(); });
  on_fsync = [] { return EINVAL; };  // how a file system says that it knows no fsync
  log.sync();
  on_fsync = [] { return 0; };
  EXPECT_EQ(message, path.string() +
                         ": cannot sync: Input/output error; check the disk and run again to "
                         "resume");
}

TEST(ConfigDifference, ComparesValuesByTheirFullKeys) {
  EXPECT_EQ(config_difference(kConfig, kConfig), "");
  EXPECT_EQ(config_difference(kConfig, kOtherConfig), "ar.depth: 12, now 6");
  EXPECT_EQ(config_difference("a:\n  x: 1\nb:\n  x: 2\n", "a:\n  x: 1\nb:\n  x: 3\n  y: 4\n"),
            "b.x: 2, now 3; b.y: absent, now 4");
}

}  // namespace
}  // namespace gear::train
