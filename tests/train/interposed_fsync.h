#pragma once

#include <functional>

namespace gear::train::testing {

/// What happens when gear_train_test calls fsync(2), whose place its own takes: a number of errno
/// to fail with, or 0 to sync as ever. A test can so play a failing disk, or a process that ends
/// while it saves.
inline std::function<int()> on_fsync = [] { return 0; };

}  // namespace gear::train::testing
