#pragma once

#include <filesystem>

namespace gear {

/// Bytes that the limit of a memory control group leaves to its processes; infinity where there is
/// no limit. The page cache counts as free: the kernel gives it back before it refuses memory.
///   root  where control groups are mounted, /sys/fs/cgroup: the files of version 2 stand there,
///         those of version 1 under memory/
double cgroup_available_memory(const std::filesystem::path& root);

}  // namespace gear
