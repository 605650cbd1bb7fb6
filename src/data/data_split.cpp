#include "gear/data/data_split.h"

#include <system_error>

namespace gear::data {
namespace {

namespace fs = std::filesystem;

bool holds_only_splits(const fs::path& path) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    std::error_code ignored;
    if (!entry.is_directory(ignored)) continue;
    const std::string name = entry.path().filename().string();
    if (name != "train" && name != "val" && name != "test" && !name.starts_with(".")) return false;
  }
  return !error;
}

}  // namespace

DataSplit split_folder(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path / "train", ignored) || !holds_only_splits(path)) {
    return {.train = path, .held_out = {}};
  }
  const bool held_out = fs::is_directory(path / "val", ignored);
  return {.train = path / "train", .held_out = held_out ? path / "val" : fs::path()};
}

}  // namespace gear::data
