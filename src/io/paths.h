#pragma once

#include <filesystem>
#include <string>

/// What atomic writes do to files and folders by their path, through FileCalls. Every failure is an
/// Error with the path and the reason.
namespace gear::io {

[[noreturn]] void fail_with_errno(const std::string& path, const char* action, int error);

std::filesystem::path parent_folder(const std::filesystem::path& path);

/// Makes the folder and those that lead to it; what is there stays.
void make_folders(const std::filesystem::path& folder);

void sync_path(const std::filesystem::path& path);  ///< a file or folder
/// Syncs every file and folder of a tree.
void sync_tree(const std::filesystem::path& root);

/// Removes a file, or a folder with everything in it; nothing there is fine.
void remove_tree(const std::filesystem::path& path);

}  // namespace gear::io
