#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "cli/bench.h"
#include "cli/bench_config.h"
#include "gear/core/clock.h"
#include "gear/core/text.h"
#include "gear/train/checkpoint_writer.h"
#include "gear/train/recipe_factory.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;
using Mode = train::CheckpointWriter::Mode;

/// A folder for the checkpoints of the measurement, removed at the end.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& parent)
      : path_((parent.empty() ? fs::temp_directory_path() : fs::path(parent)) /
              ("gear-bench-checkpoint-" + std::to_string(::getpid()))) {}
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

double bytes_of(const std::vector<train::TensorGroup>& groups) {
  double bytes = 0.0;
  for (const auto& group : groups) {
    for (const auto& [name, tensor] : group.tensors) bytes += static_cast<double>(tensor.nbytes());
  }
  return bytes;
}

Measurement measured(const std::string& name, std::vector<double> seconds, double bytes) {
  std::sort(seconds.begin(), seconds.end());
  return {.name = name,
          .median_seconds = seconds[seconds.size() / 2],
          .fastest_seconds = seconds.front(),
          .volume = {.bytes = bytes}};
}

/// How long save() keeps the steps waiting, and how long until the checkpoint is visible.
struct SaveTimes {
  std::vector<double> stall, visible;
};

SaveTimes time_saves(const train::CheckpointStore& store, Mode mode,
                     const std::vector<train::TensorGroup>& groups, int64_t rounds) {
  train::CheckpointWriter writer(store, mode);
  SaveTimes times;
  for (int64_t round = 0; round <= rounds; ++round) {
    const Stopwatch watch;
    writer.save({.step = round + 1}, "", groups);
    const double stall = watch.seconds();
    writer.wait();
    if (round == 0) continue;  // it takes the memory for the copy
    times.stall.push_back(stall);
    times.visible.push_back(watch.seconds());
  }
  return times;
}

}  // namespace

BenchReport bench_checkpoint(const CheckpointBench& options) {
  const auto config = config_without_weights(options.config, options.overrides);
  const auto built = train::make_recipe(config, train::WeightSource::kCheckpoint);
  const auto groups = built.recipe->state();
  const double bytes = bytes_of(groups);
  const ScratchFolder scratch(options.folder);
  const train::CheckpointStore store(scratch.path(), /*keep=*/2);
  const auto waiting = time_saves(store, Mode::kAtOnce, groups, options.rounds);
  const auto beside = time_saves(store, Mode::kBeside, groups, options.rounds);
  return {.subject = "checkpoint of " + options.config + ": recipe " +
                     config::detail::format(config.recipe) + ", " + format_bytes(bytes) + " in " +
                     std::to_string(groups.size()) + " groups, into " + scratch.path().string(),
          .items = "",
          .measurements = {measured("steps wait for the save", waiting.stall, bytes),
                           measured("beside the steps: they wait", beside.stall, bytes),
                           measured("beside the steps: until whole", beside.visible, bytes)}};
}

}  // namespace gear::cli
