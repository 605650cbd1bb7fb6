#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gear::data {

/// The pictures under `root`/<class>/..., found once at construction.
///
/// A class is a sub-folder whose name does not begin with a dot; its label is its place among them,
/// sorted byte by byte. The pictures of a class are all files below it with a known extension
/// (upper or lower case), sorted by path; so sample numbers follow from the names alone.
class ImageFolder {
 public:
  /// Throws Error with a sentence about how `root` should look when it holds nothing to train on.
  /// Class folders without pictures keep their label and are named in a warning.
  explicit ImageFolder(std::filesystem::path root);

  const std::filesystem::path& root() const { return root_; }
  int64_t size() const { return static_cast<int64_t>(samples_.size()); }
  std::filesystem::path path(int64_t sample) const { return root_ / at(sample).file; }
  int64_t label(int64_t sample) const { return at(sample).label; }
  const std::vector<std::string>& classes() const { return classes_; }  ///< names by label

 private:
  struct Sample {
    std::string file;  // relative to the root
    int64_t label = 0;
  };
  const Sample& at(int64_t sample) const { return samples_.at(static_cast<size_t>(sample)); }
  void find_classes();
  void find_samples();

  std::filesystem::path root_;
  std::vector<std::string> classes_;
  std::vector<Sample> samples_;
};

}  // namespace gear::data
