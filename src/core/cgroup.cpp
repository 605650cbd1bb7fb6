#include "core/cgroup.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace gear {
namespace {

namespace fs = std::filesystem;
constexpr double kUnlimited = std::numeric_limits<double>::infinity();

/// What one version of the kernel's interface calls its files and the two page cache counters.
struct MemoryFiles {
  fs::path limit, used, statistics;
  std::string inactive_cache, active_cache;
};

/// The one number a file holds; `otherwise` when it is not there or holds a word ("max").
double number_in(const fs::path& path, double otherwise) {
  std::ifstream stream(path);
  double value = 0.0;
  return stream >> value ? value : otherwise;
}

double reclaimable_cache(const MemoryFiles& files) {
  std::ifstream stream(files.statistics);
  std::string name;
  double cache = 0.0;
  for (double bytes = 0.0; stream >> name >> bytes;) {
    if (name == files.inactive_cache || name == files.active_cache) cache += bytes;
  }
  return cache;
}

double available(const MemoryFiles& files) {
  const double limit = number_in(files.limit, kUnlimited);
  const double used = number_in(files.used, 0.0);
  return std::max(0.0, limit - std::max(0.0, used - reclaimable_cache(files)));
}

}  // namespace

double cgroup_available_memory(const fs::path& root) {
  const MemoryFiles version_2 = {root / "memory.max", root / "memory.current", root / "memory.stat",
                                 "inactive_file", "active_file"};
  const fs::path memory = root / "memory";
  const MemoryFiles version_1 = {memory / "memory.limit_in_bytes", memory / "memory.usage_in_bytes",
                                 memory / "memory.stat", "total_inactive_file",
                                 "total_active_file"};
  return std::min(available(version_2), available(version_1));
}

}  // namespace gear
