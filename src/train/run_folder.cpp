#include "gear/train/run_folder.h"

#include <chrono>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>
#include <vector>

#include "gear/config/text.h"
#include "gear/core/clock.h"
#include "gear/core/log.h"
#include "gear/core/text.h"
#include "gear/io/atomic.h"
#include "train/new_paths.h"
#include "train/open_together.h"
#include "train/run_lock.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

std::string config_difference(const std::string& before, const std::string& now) {
  const auto old_keys = config::flat_keys(before);
  std::vector<std::string> differences;
  for (const auto& [key, value] : config::flat_keys(now)) {
    if (key == "run_dir") continue;
    std::string old_value = "absent";
    for (const auto& [old_key, text] : old_keys) {
      if (old_key == key) old_value = text;
    }
    if (old_value != value) differences.push_back(key + ": " + old_value + ", now " + value);
  }
  return join(differences, "; ");
}

Resume Resume::parse(const std::string& text) {
  if (text == "auto") return {.mode = Mode::kAuto};
  if (text == "none") return {.mode = Mode::kNone};
  if (text.empty()) fail("--resume: must be auto, none or the path of a checkpoint, got nothing");
  return {.mode = Mode::kPath, .path = text};
}

RunFolder::RunFolder(RunFolderOptions options)
    : options_(std::move(options)),
      checkpoints_(options_.path / "checkpoints", options_.keep_checkpoints, options_.layout),
      new_paths_(std::make_unique<NewPaths>()) {
  first_rank_does(world(), [this] {
    create_folder(path());
    lock();
    create_folder(checkpoints_.folder());
    create_folder(samples());
  });
  try {
    expect_shared();
    choose_start();
    first_rank_does(world(), [this] { open_log(); });
  } catch (const std::exception&) {
    for (const std::string& warning : warnings_) log::warn(warning);
    throw;
  }
  for (const std::string& warning : warnings_) log::warn(warning);
}

RunFolder::~RunFolder() {
  std::error_code ignored;
  // Only when it is empty: no step was done.
  if (world().is_first()) fs::remove(checkpoints_.folder(), ignored);
}

void RunFolder::create_folder(const fs::path& folder) const {
  std::error_code error;
  new_paths_->create_folders(folder, error);
  if (error) {
    fail(folder.string(), ": cannot create the folder: ", error.message(),
         "; set run_dir to a folder that you may write to");
  }
}

void RunFolder::lock() {
  new_paths_->add_file(path() / RunLock::kName);
  try {
    lock_ = std::make_unique<RunLock>(path());
  } catch (const Error&) {
    new_paths_->keep();  // the folder is that of another process
    throw;
  }
}

/// Fails unless every rank finds the mark of the first one in its lock file.
void RunFolder::expect_shared() const {
  if (world().is_single()) return;
  constexpr double kPatienceSeconds = 3;  // of network file systems that look again at times
  const std::string mark = told_by_first(world(), [this] { return lock_->mark(); });
  const Stopwatch watch;
  const auto seen = [&] { return read_text(path() / RunLock::kName) == mark; };
  while (!seen() && watch.seconds() < kPatienceSeconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const auto verdicts = world().share(seen() ? "seen" : "");
  for (size_t rank = 0; rank < verdicts.size(); ++rank) {
    if (!verdicts[rank].empty()) continue;
    fail_not_shared(world(), static_cast<int64_t>(rank), path(), RunLock::kName);
  }
}

void RunFolder::open_log() const {
  for (const fs::path& folder : {path(), checkpoints_.folder(), samples()}) {
    io::remove_partial_files(folder);
  }
  new_paths_->add_file(path() / "log.txt");
  log::also_to_file(path() / "log.txt");
}

void RunFolder::choose_start() {
  const Warn warn = [this](const std::string& warning) {
    if (world().is_first()) warnings_.push_back(warning);
  };
  switch (options_.resume.mode) {
    case Resume::Mode::kNone:
      first_rank_does(world(), [this] { refuse_to_start_over(); });
      break;
    case Resume::Mode::kAuto:
      start_ = checkpoints_.newest_good(warn);
      break;
    case Resume::Mode::kPath:
      start_ = find_checkpoint(options_.resume.path, warn, world());
      if (!start_) {
        fail("--resume ", options_.resume.path.string(),
             ": no checkpoint there; expected a checkpoint folder, a run folder, auto or none");
      }
      first_rank_does(world(), [this] {
        refuse_to_mix();
        refuse_to_rewind();
      });
      break;
  }
  first_rank_does(world(), [this] { start_ ? warn_of_changes() : refuse_to_overwrite(); });
}

bool RunFolder::start_is_own() const {
  if (!start_) return false;
  const fs::path folder = fs::absolute(start_->folder() / "").lexically_normal();  // ends in "/"
  std::error_code ignored;
  return fs::equivalent(folder.parent_path().parent_path(), checkpoints_.folder(), ignored);
}

bool RunFolder::has_metrics() const {
  std::error_code error;
  return fs::file_size(metrics_path(), error) > 0 && !error;
}

void RunFolder::refuse_to_start_over() const {
  const auto folders = checkpoints_.list();
  if (folders.empty()) return;
  fail(path().string(), ": already holds a run (", folders.back().filename().string(),
       "); continue it with --resume auto, or choose another run_dir");
}

void RunFolder::refuse_to_overwrite() const {
  if (!has_metrics()) return;
  const std::string changes =
      config_difference(read_text(path() / "config.yaml"), options_.config_yaml);
  if (changes.empty()) return;  // the same run, stopped before its first checkpoint
  fail(path().string(), ": already holds a run with another configuration (", changes,
       "); choose another run_dir");
}

void RunFolder::refuse_to_mix() const {
  const auto folders = checkpoints_.list();
  if (start_is_own() || (folders.empty() && !has_metrics())) return;
  fail(path().string(), ": already holds a run (",
       folders.empty() ? metrics_path().filename().string() : folders.back().filename().string(),
       "), which --resume ", options_.resume.path.string(),
       " would overwrite; continue it with --resume auto, or choose another run_dir");
}

void RunFolder::refuse_to_rewind() const {
  const auto folders = checkpoints_.list();
  const int64_t step = start_->position().step;
  if (folders.empty() || checkpoint_step(folders.back()) <= step) return;
  fail(path().string(), ": its checkpoint ", folders.back().filename().string(),
       " is newer than step ", step,
       ", from which --resume would go on; remove the newer ones or choose another run_dir");
}

void RunFolder::warn_of_changes() {
  const std::string from = start_->folder().string();
  const std::string changes =
      config_difference(read_text(start_->config_path()), options_.config_yaml);
  if (!changes.empty()) {
    warnings_.push_back("the configuration differs from that of " + from + ": " + changes);
  }
  const DataFingerprint& before = start_->position().data;
  const DataFingerprint& now = options_.data;
  if (before.images == 0 || now.images == 0 || before == now) return;
  warnings_.push_back("the data set is not the one that " + from + " was trained on: " +
                      format_count(before.images) + " images then, " + format_count(now.images) +
                      (before.images == now.images ? " with other names" : "") +
                      " now; the run goes on, but is not the one it would have been");
}

void RunFolder::save_config() const {
  first_rank_does(world(), [this] {
    io::write_file_atomically(path() / "config.yaml", options_.config_yaml);
    new_paths_->keep();
  });
}

}  // namespace gear::train
