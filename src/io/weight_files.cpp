#include "io/weight_files.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;

bool begins_like_a_web_page(std::string_view bytes) {
  const size_t start = bytes.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (start == std::string_view::npos) return false;
  std::string text(bytes.substr(start, 16));
  for (char& letter : text) letter = static_cast<char>(std::tolower(letter));
  return text.starts_with("<!doctype html") || text.starts_with("<html") ||
         text.starts_with("<?xml");
}

std::string first_bytes(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes.substr(0, 4)) {
    char hex[4];
    std::snprintf(hex, sizeof hex, " %02x", static_cast<unsigned char>(byte));
    text += hex;
  }
  return text;
}

/// Throws Error unless `shard` is the name of a weight file that stands beside the index.
void expect_beside(const MappedFile& index, const std::string& tensor, const std::string& shard) {
  const fs::path path = index.path();
  if (shard.empty() || fs::path(shard).filename() != shard) {
    fail(index.path(), ": ", tensor, ": expected the name of a file beside it, found '", shard,
         "'; fetch the index again");
  }
  if (!fs::exists(path.parent_path() / shard)) {
    fail(index.path(), ": ", tensor, " is in ", shard,
         ", which is not there; fetch every file that the index names");
  }
}

/// An index named by an index could name the first one again.
void expect_no_index(const MappedFile& index, const std::string& shard) {
  const auto path = fs::path(index.path()).parent_path() / shard;
  if (content_of(*MappedFile::open(path)) == WeightContent::kIndex) {
    fail(path.string(), ": an index must not name another index; fetch both again");
  }
}

/// The names in a folder that can be those of its weights: one of Hugging Face's or of an index
/// alone where there is one, else all that end like a weight file.
std::vector<std::string> weight_files_in(const fs::path& folder) {
  for (const char* name : {"model.safetensors.index.json", "model.safetensors",
                           "pytorch_model.bin.index.json", "pytorch_model.bin"}) {
    if (fs::exists(folder / name)) return {name};
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    for (const char* ending : {".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".index.json"}) {
      if (name.ends_with(ending)) names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  for (const auto& name : names) {
    if (name.ends_with(".index.json")) return {name};
  }
  return names;
}

}  // namespace

WeightContent content_of(const MappedFile& file) {
  const std::string& path = file.path();
  const std::string_view bytes = file.bytes();
  if (bytes.empty()) fail(path, ": is empty; fetch or copy it again");
  if (bytes.starts_with("version https://git-lfs.github.com/spec/")) {
    fail(path, ": is a Git LFS pointer, not the weights; fetch the real file (git lfs pull)");
  }
  if (begins_like_a_web_page(bytes)) {
    fail(path, ": is a web page, not weights; the link probably needed a login, fetch it again");
  }
  if (SafetensorsFile::recognises(file)) return WeightContent::kSafetensors;
  if (TorchArchive::recognises(file)) return WeightContent::kTorch;
  if (bytes[0] == '{') return WeightContent::kIndex;
  if (path.ends_with(".safetensors")) return WeightContent::kSafetensors;  // damaged: says where
  if (bytes.size() > 262 && bytes.substr(257, 5) == "ustar") {
    fail(path, ": is a tar archive (or a file of PyTorch before 0.1.10); unpack it first");
  }
  if (bytes.starts_with("\x1f\x8b")) fail(path, ": is compressed with gzip; unpack it first");
  fail(path, ": is neither safetensors nor a file of torch.save; it has ", bytes.size(),
       " bytes and begins with", first_bytes(bytes), "; name a weight file, or fetch it again");
}

fs::path file_in_folder(const fs::path& folder) {
  const auto names = weight_files_in(folder);
  if (names.empty()) {
    fail(folder.string(),
         ": is a folder without a weight file; name a file (.safetensors, .pt, .pth, .ckpt, .bin) "
         "or a folder that holds one");
  }
  if (names.size() > 1) {
    fail(folder.string(), ": is a folder with several weight files; name one of ", join(names));
  }
  return folder / names[0];
}

std::vector<fs::path> weight_folders(const fs::path& folder) {
  std::vector<fs::path> result;
  if (!weight_files_in(folder).empty()) return result;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const bool has_one = entry.is_directory() && weight_files_in(entry.path()).size() == 1;
    if (has_one) result.push_back(entry.path());
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::map<std::string, std::string> read_index(const MappedFile& file) {
  const auto json = nlohmann::json::parse(file.bytes().begin(), file.bytes().end(), nullptr, false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    fail(file.path(),
         ": is JSON without a weight_map, so not the index of sharded weights; name "
         "the weight file itself");
  }
  std::map<std::string, std::string> shards;
  std::set<std::string> files;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    if (!shard.is_string()) {
      fail(file.path(), ": ", name, ": expected the name of a file beside it, found ",
           shard.type_name(), "; fetch the index again");
    }
    shards[name] = shard.get<std::string>();
    expect_beside(file, name, shards[name]);
    if (files.insert(shards[name]).second) expect_no_index(file, shards[name]);
  }
  return shards;
}

}  // namespace gear::io
