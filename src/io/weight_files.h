#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace gear::io {

class MappedFile;

/// How a weight file is to be read.
enum class WeightContent { kSafetensors, kTorch, kIndex };

/// What the file is, by its bytes. Throws Error that names what people mistake for weights: an
/// empty file, a Git LFS pointer, a web page, an archive, ...
WeightContent content_of(const MappedFile& file);

/// The weight file in a folder: a name of Hugging Face, or else the only one there.
std::filesystem::path file_in_folder(const std::filesystem::path& folder);

/// The folders below one that has no weight file itself, in each of which file_in_folder finds one:
/// what gear convert writes for several networks. Empty when there are none.
std::vector<std::filesystem::path> weight_folders(const std::filesystem::path& folder);

/// {"weight_map": {tensor name: file name}}, the index of a model in several files: the file of
/// each tensor, which stands beside the index. Throws Error when it is none, leaves its folder or
/// names a file that is not there.
std::map<std::string, std::string> read_index(const MappedFile& file);

}  // namespace gear::io
