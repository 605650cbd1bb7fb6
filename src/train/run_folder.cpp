#include "gear/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "gear/config/text.h"
#include "gear/core/log.h"
#include "gear/core/text.h"
#include "gear/io/atomic.h"

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
      checkpoints_(options_.path / "checkpoints", options_.keep_checkpoints) {
  create();
  lock();
  try {
    choose_start();
    for (const fs::path& folder : {path(), checkpoints_.folder(), samples()}) {
      io::remove_partial_files(folder);
    }
    log::also_to_file(path() / "log.txt");
  } catch (const std::exception&) {
    ::close(lock_descriptor_);  // the destructor does not run
    for (const std::string& warning : warnings_) log::warn(warning);
    throw;
  }
  for (const std::string& warning : warnings_) log::warn(warning);
}

RunFolder::~RunFolder() {
  std::error_code ignored;
  fs::remove(checkpoints_.folder(), ignored);  // only when it is empty: a start that was refused
  ::close(lock_descriptor_);
}

void RunFolder::create() {
  for (const fs::path& folder : {path(), checkpoints_.folder(), samples()}) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) {
      fail(folder.string(), ": cannot create the folder: ", error.message(),
           "; set run_dir to a folder that you may write to");
    }
  }
}

void RunFolder::lock() {
  const fs::path lock_path = path() / ".lock";
  lock_descriptor_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_descriptor_ < 0) {
    fail(path().string(), ": cannot write there: ", std::strerror(errno),
         "; set run_dir to a folder that you may write to");
  }
  if (::flock(lock_descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  if (error != EWOULDBLOCK) return;  // a file system without locks: train all the same
  ::close(lock_descriptor_);
  fail(path().string(),
       ": another process is training in this folder; wait for it, stop it, or "
       "choose another run_dir");
}

void RunFolder::choose_start() {
  const Warn warn = [this](const std::string& warning) { warnings_.push_back(warning); };
  switch (options_.resume.mode) {
    case Resume::Mode::kNone:
      if (const auto folders = checkpoints_.list(); !folders.empty()) {
        fail(path().string(), ": already holds a run (", folders.back().filename().string(),
             "); continue it with --resume auto, or choose another run_dir");
      }
      break;
    case Resume::Mode::kAuto:
      start_ = checkpoints_.newest_good(warn);
      break;
    case Resume::Mode::kPath:
      start_ = find_checkpoint(options_.resume.path, warn);
      if (!start_) {
        fail("--resume ", options_.resume.path.string(),
             ": no checkpoint there; expected a checkpoint folder, a run folder, auto or none");
      }
      refuse_to_mix();
      refuse_to_rewind();
      break;
  }
  if (start_) {
    warn_of_changes();
  } else {
    refuse_to_overwrite();
  }
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
  io::write_file_atomically(path() / "config.yaml", options_.config_yaml);
}

}  // namespace gear::train
