#include "gear/train/run_folder.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/train/metrics_log.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::message_of;
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
  const RunFolder folder(options_for(root.path() / "runs/a", "auto"));
  EXPECT_FALSE(folder.start().has_value());
  folder.save_config();
  EXPECT_EQ(read_text(root.path() / "runs/a/config.yaml"), kConfig);
  EXPECT_TRUE(fs::is_directory(root.path() / "runs/a/samples"));
  EXPECT_TRUE(fs::is_directory(root.path() / "runs/a/checkpoints"));
  EXPECT_TRUE(fs::exists(root.path() / "runs/a/log.txt"));
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
    const RunFolder folder(options_for(root.path(), "none"));
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
  const fs::path partial = root.path() / "checkpoints/.step-00000002.partial";
  fs::create_directories(partial);
  const RunFolder folder(options_for(root.path(), "auto"));
  EXPECT_FALSE(fs::exists(partial));
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

TEST(ConfigDifference, ComparesValuesByTheirFullKeys) {
  EXPECT_EQ(config_difference(kConfig, kConfig), "");
  EXPECT_EQ(config_difference(kConfig, kOtherConfig), "ar.depth: 12, now 6");
  EXPECT_EQ(config_difference("a:\n  x: 1\nb:\n  x: 2\n", "a:\n  x: 1\nb:\n  x: 3\n  y: 4\n"),
            "b.x: 2, now 3; b.y: absent, now 4");
}

}  // namespace
}  // namespace gear::train
