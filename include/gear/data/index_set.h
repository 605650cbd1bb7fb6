#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gear/data/index_file.h"

// B batch, N tokens per picture

namespace gear::data {

/// Pictures encoded to indices of a codebook by `gear encode`: one file, or a folder of them. The
/// indices stay on disk and are read as they are used.
class IndexSet {
 public:
  /// Throws Error when `path` holds no index files, files of several sets, or not all of one.
  explicit IndexSet(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  const IndexInfo& info() const { return files_.front().info; }
  int64_t size() const { return starts_.back(); }  ///< pictures; the mirrored ones do not count
  int64_t label(int64_t sample) const;
  /// SHA-256 of the names of the pictures, each ended by a line break.
  const std::string& names_sha256() const { return names_sha256_; }

  /// Indices of some pictures, of the mirrored ones where `mirrored` says so (which needs
  /// info().mirrored): int64 [B, N]. Throws Error when one of them is not below the codebook size.
  Tensor tokens(const std::vector<int64_t>& samples, const std::vector<bool>& mirrored) const;

 private:
  void expect_whole() const;
  size_t file_of(int64_t sample) const;

  std::filesystem::path path_;
  std::vector<std::filesystem::path> paths_;  // of files_
  std::vector<IndexFile> files_;              // without their names
  std::vector<int64_t> starts_;               // first sample of each file; then their number
  std::string names_sha256_;
};

}  // namespace gear::data
