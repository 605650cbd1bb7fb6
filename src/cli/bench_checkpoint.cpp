#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "cli/bench.h"
#include "cli/bench_config.h"
#include "cli/run_setup.h"
#include "gear/core/clock.h"
#include "gear/core/device.h"
#include "gear/core/log.h"
#include "gear/core/text.h"
#include "gear/train/checkpoint_writer.h"
#include "gear/train/recipe_factory.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;
using Mode = train::CheckpointWriter::Mode;

/// A folder for the checkpoints of all ranks, removed at the end.
class ScratchFolder {
 public:
  ScratchFolder(const std::string& parent, const dist::World& world)
      : world_(world),
        path_((parent.empty() ? fs::temp_directory_path() : fs::path(parent)) /
              ("gear-bench-checkpoint-" + world.share(std::to_string(::getpid()))[0])) {}
  ~ScratchFolder() {
    std::error_code ignored;
    if (world_.is_first()) fs::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  dist::World world_;
  fs::path path_;
};

double bytes_of(const fs::path& folder) {
  double bytes = 0.0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    bytes += static_cast<double>(entry.file_size());
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

SaveTimes time_saves(const train::CheckpointStore& store, const dist::World& world, Mode mode,
                     const std::vector<train::TensorGroup>& groups, int64_t rounds,
                     int64_t first_step) {
  train::CheckpointWriter writer(store, mode);
  SaveTimes times;
  for (int64_t round = 0; round <= rounds; ++round) {
    world.barrier();
    const Stopwatch watch;
    writer.save({.step = first_step + round}, "", groups);
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
  auto config = config_without_weights(options.config, options.overrides);
  const dist::Placement place = dist::placement_from_environment();
  if (place.rank > 0) log::set_quiet(true);
  const dist::World world =
      dist::connect(place, {.device = resolve_device(config.device),
                            .timeout = std::chrono::seconds(config.parallel.timeout_seconds)});
  use_threads(config.threads, place.local_world_size);
  const train::Parallel parallel = train::make_parallel(world, config.parallel);
  const auto built = train::make_recipe(config, train::WeightSource::kCheckpoint, parallel);
  const auto groups = built.recipe->state();
  const ScratchFolder scratch(options.folder, world);
  const train::CheckpointStore store(scratch.path(), /*keep=*/2, train::save_layout(parallel));
  const auto waiting = time_saves(store, world, Mode::kAtOnce, groups, options.rounds, 1);
  const auto beside =
      time_saves(store, world, Mode::kBeside, groups, options.rounds, options.rounds + 2);
  if (!world.is_first()) return {};
  const double bytes = bytes_of(store.list().back());
  return {.subject = "checkpoint of " + options.config + ": recipe " +
                     config::detail::format(config.recipe) + ", " + format_bytes(bytes) + " in " +
                     std::to_string(groups.size()) + " groups, " + std::to_string(world.size()) +
                     (world.is_single() ? " rank" : " ranks") + ", parallel.shard " +
                     config::detail::format(config.parallel.shard) + ", into " +
                     scratch.path().string(),
          .items = "",
          .measurements = {measured("steps wait for the save", waiting.stall, bytes),
                           measured("beside the steps: they wait", beside.stall, bytes),
                           measured("beside the steps: until whole", beside.visible, bytes)}};
}

}  // namespace gear::cli
