#include "cli/writable.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "gear/core/error.h"

namespace gear::cli {

void expect_writable_folder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  fs::path there = fs::absolute(folder);
  while (!fs::exists(there)) there = there.parent_path();
  if (!fs::is_directory(there)) {
    fail("--out ", folder.string(), ": ", there.string(),
         " is a file, not a folder; name a folder that you may write to");
  }
  if (::access(there.c_str(), W_OK | X_OK) != 0) {
    fail("--out ", folder.string(), ": cannot write in ", there.string(), ": ",
         std::strerror(errno), "; name a folder that you may write to");
  }
}

}  // namespace gear::cli
