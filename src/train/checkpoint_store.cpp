#include <algorithm>
#include <sstream>
#include <system_error>

#include "gear/core/log.h"
#include "gear/io/atomic.h"
#include "gear/train/checkpoint.h"
#include "train/checkpoint_manifest.h"
#include "train/joint_steps.h"
#include "train/open_together.h"
#include "train/part_writer.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPrefix = "step-";

/// "step-00001000" -> true; anything else a user may have put there is left alone.
bool is_checkpoint_name(const std::string& name) {
  const size_t digits = name.size() - std::min(name.size(), std::string(kPrefix).size());
  return name.starts_with(kPrefix) && digits >= 8 && digits <= 18 &&
         name.find_first_not_of("0123456789", name.size() - digits) == std::string::npos;
}

}  // namespace

std::string checkpoint_name(int64_t step) {
  const std::string digits = std::to_string(step);
  return kPrefix + std::string(8 - std::min<size_t>(8, digits.size()), '0') + digits;
}

int64_t checkpoint_step(const fs::path& folder) {
  return std::stoll(folder.filename().string().substr(std::string(kPrefix).size()));
}

CheckpointStore::CheckpointStore(fs::path folder, int64_t keep, SaveLayout layout)
    : folder_(std::move(folder)),
      keep_(keep),
      layout_(std::move(layout)),
      steps_(std::make_shared<JointSteps>(layout_.world)) {
  TORCH_CHECK(keep_ >= 1, "CheckpointStore: keep must be at least 1, got ", keep_);
}

fs::path CheckpointStore::save(const RunPosition& position, const std::string& config_yaml,
                               const std::vector<TensorGroup>& groups) const {
  return write({position, config_yaml, plan(groups)});
}

std::shared_ptr<const SavePlan> CheckpointStore::plan(
    const std::vector<TensorGroup>& groups) const {
  return std::make_shared<SavePlan>(plan_save(groups, layout_));
}

fs::path CheckpointStore::write(const SaveJob& job) const {
  const SavePlan& plan = *job.plan;
  const fs::path path = folder_ / checkpoint_name(job.position.step);
  const fs::path unfinished = io::AtomicDirectory::temporary_path(path);
  std::optional<io::AtomicDirectory> directory;  // of the first rank
  steps_->first([&] {
    directory.emplace(path);
    create_files(unfinished, plan);
  });
  steps_->all_then_first(
      [&] { return write_parts(unfinished, plan, [this] { steps_->note_progress(); }); },
      [&](const std::vector<std::string>& told) {
        io::write_file_atomically(unfinished / kConfigName, job.config_yaml);
        write_manifest(unfinished, plan,
                       {.position = job.position,
                        .world_size = layout_.world.size(),
                        .shard_mode = layout_.shard_mode,
                        .parts = join_parts(plan, told)});
        if (job.before_visible) job.before_visible();
        directory->commit();
      });
  if (layout_.world.is_first()) {
    whole_.insert(path);
    remove_old(job.position.step);  // only now: the new one is complete and visible
  }
  return path;
}

void CheckpointStore::give_up_waiting(bool give_up) const { steps_->give_up(give_up); }
int64_t CheckpointStore::progress_of_write() const { return steps_->progress(); }
bool CheckpointStore::write_waits_for_others() const { return steps_->waits(); }

void CheckpointStore::remove_old(int64_t saved_step) const {
  const auto folders = list();
  int64_t wanted = keep_ - 1;  // besides the one just saved
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    if (checkpoint_step(*folder) >= saved_step) continue;
    if (wanted == 0) {
      remove(*folder);
    } else if (is_whole(*folder)) {
      --wanted;
    }
  }
}

void CheckpointStore::remove(const fs::path& checkpoint) const {
  try {
    io::remove_directory_atomically(checkpoint);
  } catch (const Error& error) {  // the run goes on; the next save tries again
    log::warn(error.what());
  }
}

bool CheckpointStore::is_whole(const fs::path& checkpoint) const {
  if (whole_.contains(checkpoint)) return true;
  try {
    Checkpoint(checkpoint).verify();
  } catch (const Error&) {  // newest_good() names it when it matters
    return false;
  }
  whole_.insert(checkpoint);
  return true;
}

std::optional<Checkpoint> CheckpointStore::newest_good(const Warn& warn) const {
  const auto folders = list_of_first_rank();
  std::string last_damage;
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    try {
      const Checkpoint checkpoint = open_verified(*folder, layout_.world);
      whole_.insert(*folder);
      if (!last_damage.empty()) {
        warn(last_damage + "; using " + folder->filename().string() + " instead");
      }
      return checkpoint;
    } catch (const DamagedCheckpoint& damage) {
      whole_.erase(*folder);
      if (!last_damage.empty()) warn(last_damage);
      last_damage = damage.what();
    }
  }
  if (folders.empty()) return std::nullopt;
  fail(last_damage, "; no checkpoint in ", folder_.string(),
       " is whole: restore one from a copy, or choose another run_dir to start over");
}

std::vector<fs::path> CheckpointStore::list_of_first_rank() const {
  if (layout_.world.is_single()) return list();
  std::istringstream lines(told_by_first(layout_.world, [&] {
    std::string names;
    for (const fs::path& folder : list()) names += folder.filename().string() + "\n";
    return names;
  }));
  std::vector<fs::path> folders;
  for (std::string name; std::getline(lines, name);) folders.push_back(folder_ / name);
  return folders;
}

std::vector<fs::path> CheckpointStore::list() const {
  std::vector<fs::path> folders;
  std::error_code error;
  fs::directory_iterator entry(folder_, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // what cannot be looked at is no folder to read from
    const bool named = is_checkpoint_name(entry->path().filename().string());
    if (named && entry->is_directory(ignored)) folders.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory &&
      error != std::errc::not_a_directory) {
    fail(folder_.string(), ": cannot be listed: ", error.message());
  }
  std::sort(folders.begin(), folders.end(), [](const fs::path& a, const fs::path& b) {
    return checkpoint_step(a) < checkpoint_step(b);
  });
  return folders;
}

}  // namespace gear::train
