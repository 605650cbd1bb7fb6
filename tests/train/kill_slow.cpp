// A training process that is killed at random moments, again and again, ends where one that nobody
// disturbed ends. The binary is its own child: `gear_train_slow train-child FOLDER` trains there.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "gear/core/log.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using testing::checkpoint_bytes;
using testing::TemporaryFolder;
using testing::timeless_metrics;

constexpr const char* kChildArgument = "train-child";

RunConfig child_config() {
  RunConfig config = testing::tiny_config(/*steps=*/400);
  config.output.log_every = 5;
  config.output.checkpoint_every = 2;  // often: many kills then fall into a write
  return config;
}

pid_t start_child(const fs::path& folder) {
  const std::string program = fs::read_symlink("/proc/self/exe").string();
  const pid_t child = fork();
  if (child == 0) {
    execl(program.c_str(), program.c_str(), kChildArgument, folder.c_str(), nullptr);
    _exit(127);
  }
  return child;
}

/// The exit status of a child that ended by itself, or -1.
int exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }

int train_undisturbed(const fs::path& folder) {
  int status = 0;
  waitpid(start_child(folder), &status, 0);
  return exit_status(status);
}

/// Starts a child and kills it; returns its exit status if it was faster. Three of four kills wait
/// until it has written a checkpoint and so fall among steps and writes, the others among loading.
int train_and_kill(const fs::path& folder, RandomStream& stream) {
  const CheckpointStore store(folder / "checkpoints", /*keep=*/1);
  const auto checkpoints_before = store.list();
  const bool wait_for_progress = stream.bernoulli(0.75);
  const std::chrono::microseconds delay(stream.integer(0, wait_for_progress ? 80'000 : 400'000));

  const pid_t child = start_child(folder);
  int status = 0;
  while (wait_for_progress && store.list() == checkpoints_before) {
    if (waitpid(child, &status, WNOHANG) != 0) return exit_status(status);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::this_thread::sleep_for(delay);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return exit_status(status);
}

TEST(Trainer, KilledAtRandomMomentsItEndsWhereTheUndisturbedRunEnds) {
  constexpr int kKills = 20;
  const TemporaryFolder root;
  const fs::path straight = root.path() / "straight";
  ASSERT_EQ(train_undisturbed(straight), 0);

  const fs::path killed = root.path() / "killed";
  RandomStream stream(11);
  int kills = 0;
  while (kills < kKills && train_and_kill(killed, stream) == -1) ++kills;
  EXPECT_GT(kills, kKills / 2) << "the run ended before it was disturbed enough";
  ASSERT_EQ(train_undisturbed(killed), 0);

  const std::string last = "checkpoints/" + checkpoint_name(child_config().steps);
  EXPECT_EQ(checkpoint_bytes(killed / last), checkpoint_bytes(straight / last));
  EXPECT_EQ(timeless_metrics(killed), timeless_metrics(straight));
  for (const auto& entry : fs::directory_iterator(killed / "checkpoints")) {
    EXPECT_TRUE(entry.path().filename().string().starts_with("step-")) << entry.path();
  }
}

}  // namespace

int train_child(const fs::path& folder) {
  log::set_quiet(true);
  return testing::TinyRun(child_config(), folder).train() == TrainOutcome::kFinished ? 0 : 1;
}

}  // namespace gear::train

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], gear::train::kChildArgument) == 0) {
    return gear::train::train_child(argv[2]);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
