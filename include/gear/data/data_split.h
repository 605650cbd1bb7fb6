#pragma once

#include <filesystem>

namespace gear::data {

/// The two ImageFolders of a data set.
struct DataSplit {
  std::filesystem::path train;
  std::filesystem::path held_out;  ///< "" when there is none
};

/// A folder that holds nothing but `train/` and perhaps `val/` and `test/` (as ImageNet and the
/// emoji set do) is split into train/ and val/. Any other folder is all for training: a class may
/// well be called "train".
DataSplit split_folder(const std::filesystem::path& path);

}  // namespace gear::data
