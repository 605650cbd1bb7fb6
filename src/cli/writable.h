#pragma once

#include <filesystem>

namespace gear::cli {

/// Fails when nothing could be written in the folder that --out names, before the time for what is
/// to be written is spent. Makes nothing.
void expect_writable_folder(const std::filesystem::path& folder);

}  // namespace gear::cli
