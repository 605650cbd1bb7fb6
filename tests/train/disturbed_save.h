#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "faulty_files.h"
#include "gear/io/atomic.h"
#include "gear/train/checkpoint.h"
#include "tiny_run.h"

/// Saves in which a call to the file system fails: the checkpoint before or the new one must be
/// whole afterwards, and nothing half-written be taken for a checkpoint.
namespace gear::train::testing {

inline constexpr int kSaved = 0;
inline constexpr int kRefused = 1;  // with a sentence

inline std::vector<TensorGroup> groups_of(int64_t step) {
  const auto value = static_cast<double>(step);
  return {{"net", {{"weight", at::arange(6, at::kFloat).view({2, 3}) + value}}},
          {"optimizer", {{"step", at::full({}, value)}}}};
}

inline void save_step(const CheckpointStore& store, int64_t step) {
  store.save({.step = step}, "seed: 9\n", groups_of(step));
}

/// Which save is disturbed: what is there before, and what it leaves when nothing disturbs it.
struct Scenario {
  const char* name = "";
  int64_t before;  // step of the checkpoint that is there
  int64_t step;    // that is saved
  int64_t keep;
};

inline constexpr Scenario kScenarios[] = {
    {.name = "beside the one before", .before = 1, .step = 2, .keep = 2},
    {.name = "in place of the one before", .before = 1, .step = 2, .keep = 1},
    {.name = "the same step again", .before = 2, .step = 2, .keep = 2},
};

struct Trial {
  int outcome = kSaved;  // or kRefused, kDied
  std::string message{};
  std::string call{};
  bool reached = false;
};

inline Trial disturbed_save(const CheckpointStore& store, const Scenario& scenario, Fault fault,
                            int64_t at) {
  Trial trial;
  FaultyFiles files(fault, at);
  {
    const io::ReplacedFileCalls replaced(files);
    try {
      save_step(store, scenario.step);
    } catch (const Error& error) {
      trial.outcome = kRefused;
      trial.message = error.what();
    }
  }
  trial.reached = files.reached();
  trial.call = files.call();
  return trial;
}

/// The same in a process of its own, which the fault ends.
inline Trial deadly_save(const CheckpointStore& store, const Scenario& scenario, int64_t at) {
  const pid_t child = fork();
  if (child == 0) ::_exit(disturbed_save(store, scenario, Fault::kDeath, at).outcome);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  return {.outcome = WEXITSTATUS(status), .reached = WEXITSTATUS(status) == kDied};
}

/// The step of the newest checkpoint, after comparing every value with what that step saved.
inline int64_t whole_step(const CheckpointStore& store) {
  const auto newest = store.newest_good();
  if (!newest) return -1;
  const int64_t step = newest->position().step;
  const auto expected = groups_of(step);
  auto loaded = groups_of(step);
  for (TensorGroup& group : loaded) {
    for (auto& [name, tensor] : group.tensors) tensor = at::zeros_like(tensor);
  }
  newest->load(loaded);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(loaded[i].tensors[0].second.equal(expected[i].tensors[0].second));
  }
  return step;
}

inline bool has_leftovers(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".partial") return true;
  }
  return false;
}

inline void expect_nothing_lost(const CheckpointStore& store, const Scenario& scenario,
                                const Trial& trial) {
  for (const std::filesystem::path& folder : store.list()) Checkpoint(folder).verify();
  const int64_t step = whole_step(store);
  if (trial.outcome == kSaved) {
    EXPECT_EQ(step, scenario.step);
  } else {
    EXPECT_TRUE(step == scenario.before || step == scenario.step) << step;
  }
}

inline void expect_tidy(const CheckpointStore& store, Fault fault, const Trial& trial) {
  if (trial.outcome == kRefused) {
    EXPECT_THAT(trial.message, ::testing::HasSubstr(store.folder().string()));
    EXPECT_THAT(trial.message, ::testing::HasSubstr(": cannot "));
  }
  const bool could_clean =
      fault != Fault::kDiskGone && fault != Fault::kDeath && !trial.call.starts_with("remove_");
  if (could_clean) {
    EXPECT_FALSE(has_leftovers(store.folder()));
  }
  io::remove_partial_files(store.folder());  // as the next start does
  EXPECT_FALSE(has_leftovers(store.folder()));
}

/// Keeps standard error to itself.
struct Silence {
  Silence() { ::testing::internal::CaptureStderr(); }
  ~Silence() { ::testing::internal::GetCapturedStderr(); }
};

/// Disturbs every call of the save in turn; returns how many there were.
inline int64_t disturb_every_call(const Scenario& scenario, Fault fault) {
  UnsyncedFiles files;
  const io::ReplacedFileCalls replaced(files);
  const Silence silence;  // warnings about old checkpoints that cannot be removed
  for (int64_t at = 0;; ++at) {
    const TemporaryFolder root;
    const CheckpointStore store(root.path() / "checkpoints", scenario.keep);
    save_step(store, scenario.before);
    const Trial trial = fault == Fault::kDeath ? deadly_save(store, scenario, at)
                                               : disturbed_save(store, scenario, fault, at);
    SCOPED_TRACE(std::string(name_of(fault)) + " at call " + std::to_string(at) + " " + trial.call +
                 ", saving " + scenario.name);
    expect_nothing_lost(store, scenario, trial);
    expect_tidy(store, fault, trial);
    save_step(store, scenario.step);  // the disk works again
    EXPECT_EQ(whole_step(store), scenario.step);
    if (!trial.reached || ::testing::Test::HasFailure()) return at;
  }
}

}  // namespace gear::train::testing
