#include "train/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>

#include "gear/core/error.h"

namespace gear::train {

RunLock::RunLock(const std::filesystem::path& folder) : folder_(folder) {
  descriptor_ = ::open((folder_ / kName).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_to_write();
  const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
  if (!locked && errno != EWOULDBLOCK) return;  // a file system without locks: train all the same
  struct stat status {};
  const bool removed = ::fstat(descriptor_, &status) == 0 && status.st_nlink == 0;
  if (locked && !removed) return;  // another process that is refused takes its lock file with it
  ::close(descriptor_);
  fail(folder_.string(),
       ": another process is training in this folder; wait for it, stop it, or choose another "
       "run_dir");
}

RunLock::~RunLock() { ::close(descriptor_); }

std::string RunLock::mark() const {
  std::random_device random;
  const std::string mark = "process " + std::to_string(::getpid()) + ", mark " +
                           std::to_string(random()) + "-" + std::to_string(random()) + "\n";
  const auto bytes = static_cast<ssize_t>(mark.size());
  if (::ftruncate(descriptor_, 0) != 0 ||
      ::pwrite(descriptor_, mark.data(), mark.size(), 0) != bytes || ::fsync(descriptor_) != 0) {
    fail_to_write();
  }
  return mark;
}

void RunLock::fail_to_write() const {
  fail(folder_.string(), ": cannot write there: ", std::strerror(errno),
       "; set run_dir to a folder that you may write to");
}

}  // namespace gear::train
