#include "gear/data/image_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <system_error>

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/text.h"

namespace gear::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 9> kExtensions = {"jpg", "jpeg", "png",  "ppm", "bmp",
                                                    "pgm", "tif",  "tiff", "webp"};

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  if (extension.empty()) return false;
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(kExtensions.begin(), kExtensions.end(), extension.substr(1)) !=
         kExtensions.end();
}

std::string expected_layout(const fs::path& root) {
  return "expected one sub-folder per class with its pictures in it, " +
         (root / "<class>" / "<picture>.jpg").string();
}

/// What a link that leads nowhere, or in a circle, points to is no folder.
bool is_folder(const fs::directory_entry& entry) {
  std::error_code ignored;
  return entry.status(ignored).type() == fs::file_type::directory;
}

/// The same for what may be a class: if nobody can tell, labels would depend on it.
bool is_class_folder(const fs::directory_entry& entry) {
  std::error_code error;
  const fs::file_type type = entry.status(error).type();
  if (type == fs::file_type::none) {
    fail(entry.path().string(), ": cannot be told to be a folder or a file (", error.message(),
         "); repair or remove it");
  }
  return type == fs::file_type::directory;
}

/// Paths below `class_folder` relative to it, sorted byte by byte.
std::vector<std::string> pictures_below(const fs::path& class_folder) {
  std::vector<std::string> files;
  const auto follow = fs::directory_options::follow_directory_symlink;
  std::error_code error;
  fs::recursive_directory_iterator entry(class_folder, follow, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (!is_picture(entry->path()) || is_folder(*entry)) continue;
    files.push_back(entry->path().lexically_relative(class_folder).string());
  }
  if (error) fail(class_folder.string(), ": cannot be listed (", error.message(), ")");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

ImageFolder::ImageFolder(fs::path root) : root_(std::move(root)) {
  std::error_code ignored;
  if (!fs::exists(root_, ignored)) {
    fail(root_.string(), ": there is no such folder; ", expected_layout(root_));
  }
  if (!fs::is_directory(root_, ignored)) {
    fail(root_.string(), ": is a file, not a folder; ", expected_layout(root_));
  }
  find_classes();
  find_samples();
}

void ImageFolder::find_classes() {
  std::string picture;
  std::error_code error;
  fs::directory_iterator entry(root_, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().starts_with(".")) continue;  // other programs' folders
    if (is_class_folder(*entry)) {
      classes_.push_back(entry->path().filename().string());
    } else if (is_picture(entry->path())) {
      const std::string name = entry->path().filename().string();
      if (picture.empty() || name < picture) picture = name;
    }
  }
  if (error) fail(root_.string(), ": cannot be listed (", error.message(), ")");
  std::sort(classes_.begin(), classes_.end());
  if (!classes_.empty()) return;
  if (!picture.empty()) {
    fail(root_.string(), ": holds pictures (", picture, ") but no class folders; ",
         expected_layout(root_));
  }
  fail(root_.string(), fs::is_empty(root_) ? ": is empty; " : ": holds no class folders; ",
       expected_layout(root_));
}

void ImageFolder::find_samples() {
  std::vector<std::string> empty_classes;
  for (size_t label = 0; label < classes_.size(); ++label) {
    const std::vector<std::string> files = pictures_below(root_ / classes_[label]);
    if (files.empty()) empty_classes.push_back(classes_[label]);
    for (const std::string& file : files) {
      samples_.push_back({classes_[label] + "/" + file, static_cast<int64_t>(label)});
    }
  }
  if (samples_.empty()) {
    const std::vector<std::string> extensions(kExtensions.begin(), kExtensions.end());
    fail(root_.string(), ": none of its class folders (", classes_.size(),
         ") holds a picture; expected files that end in ", join(extensions));
  }
  if (empty_classes.empty()) return;
  constexpr size_t kMostNamed = 5;
  const size_t count = empty_classes.size();
  if (count > kMostNamed) empty_classes.resize(kMostNamed);
  log::warn(root_.string() + ": " + std::to_string(count) + " of " +
            std::to_string(classes_.size()) + " class folders hold no picture: " +
            join(empty_classes) + (count > kMostNamed ? ", ..." : ""));
}

}  // namespace gear::data
