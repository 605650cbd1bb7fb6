#include "gear/io/weights.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"
#include "io/script_module.h"
#include "io/weight_names.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;

enum class Content { kSafetensors, kTorch, kIndex };

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

/// What the file is; throws Error for files that people mistake for weights.
Content content_of(const MappedFile& file) {
  const std::string& path = file.path();
  const std::string_view bytes = file.bytes();
  if (bytes.empty()) fail(path, ": is empty; fetch or copy it again");
  if (bytes.starts_with("version https://git-lfs.github.com/spec/")) {
    fail(path, ": is a Git LFS pointer, not the weights; fetch the real file (git lfs pull)");
  }
  if (begins_like_a_web_page(bytes)) {
    fail(path, ": is a web page, not weights; the link probably needed a login, fetch it again");
  }
  if (SafetensorsFile::recognises(file)) return Content::kSafetensors;
  if (TorchArchive::recognises(file)) return Content::kTorch;
  if (bytes[0] == '{') return Content::kIndex;
  if (path.ends_with(".safetensors")) return Content::kSafetensors;  // damaged: says where
  if (bytes.size() > 262 && bytes.substr(257, 5) == "ustar") {
    fail(path, ": is a tar archive (or a file of PyTorch before 0.1.10); unpack it first");
  }
  if (bytes.starts_with("\x1f\x8b")) fail(path, ": is compressed with gzip; unpack it first");
  fail(path, ": is neither safetensors nor a file of torch.save; it has ", bytes.size(),
       " bytes and begins with", first_bytes(bytes));
}

TensorMap read_safetensors(const fs::path& path) {
  const SafetensorsFile file(path);
  TensorMap tensors;
  for (const auto& name : file.names()) tensors[name] = file.tensor(name);
  return tensors;
}

/// The tensors of one map; entries that are not tensors (num_updates as an integer) are no weights.
TensorMap tensors_of(const PickleValue& dict) {
  TensorMap tensors;
  for (const auto& [key, value] : dict.entries) {
    if (key->is(PickleValue::Kind::kString) && value->is(PickleValue::Kind::kTensor)) {
      tensors[key->text] = value->tensor;
    }
  }
  return tensors;
}

std::vector<std::string> keys_of(const PickleValue& dict) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : dict.entries) {
    if (key->is(PickleValue::Kind::kString)) keys.push_back(key->text);
    if (keys.size() == 12) {
      keys.emplace_back("...");
      break;
    }
  }
  return keys;
}

TensorMap read_torch(const fs::path& path, const LoadOptions& options) {
  const TorchArchive archive(path);
  const PickleValue& root = archive.root();
  if (is_script_module(root)) {
    return with_context(archive.path(), [&] { return script_tensors(root); });
  }
  if (!root.is(PickleValue::Kind::kDict)) {
    fail(archive.path(), ": holds ", describe(root),
         ", expected a dictionary of tensors; save the state_dict of the model");
  }
  for (const auto& name : options.sections) {
    const PickleValue* part = root.find(name);
    if (part == nullptr || !part->is(PickleValue::Kind::kDict)) continue;
    const TensorMap tensors = tensors_of(*part);
    return name == "state_dict" ? lightning_model(tensors, archive.path()) : tensors;
  }
  const TensorMap tensors = tensors_of(root);
  if (!options.accept_bare || tensors.empty()) {
    fail(archive.path(), ": holds none of ", join(options.sections),
         options.accept_bare ? " and no tensors at its top level" : "", "; found the keys ",
         join(keys_of(root)));
  }
  return tensors;
}

TensorMap read_file(const fs::path& path, const LoadOptions& options);

/// {"weight_map": {tensor name: file name}}, the index of a model in several files.
TensorMap read_index(const fs::path& path, const LoadOptions& options) {
  const auto file = MappedFile::open(path);
  const auto json =
      nlohmann::json::parse(file->bytes().begin(), file->bytes().end(), nullptr, false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    fail(path.string(), ": is JSON without a weight_map, so not the index of sharded weights");
  }
  std::map<std::string, TensorMap> shards;
  TensorMap tensors;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    const std::string shard_name = shard.is_string() ? shard.get<std::string>() : "";
    if (shard_name.empty() || fs::path(shard_name).filename() != shard_name) {
      fail(path.string(), ": ", name, ": expected the name of a file beside it, found ",
           shard.dump());
    }
    if (shard_name.ends_with(".json")) {
      fail(path.string(), ": ", name, ": an index must not name another index");
    }
    if (!shards.contains(shard_name)) {
      shards[shard_name] = read_file(path.parent_path() / shard_name, options);
    }
    const auto found = shards[shard_name].find(name);
    if (found == shards[shard_name].end()) {
      fail(path.string(), ": ", name, " is not in ", shard_name, " as the index says");
    }
    tensors[name] = found->second;
  }
  return tensors;
}

TensorMap read_file(const fs::path& path, const LoadOptions& options) {
  switch (content_of(*MappedFile::open(path))) {
    case Content::kSafetensors:
      return read_safetensors(path);
    case Content::kTorch:
      return read_torch(path, options);
    case Content::kIndex:
      return read_index(path, options);
  }
  fail(path.string(), ": unhandled content");
}

/// The weights in a folder: the names of Hugging Face, or else the only weight file there.
fs::path file_in_folder(const fs::path& folder) {
  for (const char* name : {"model.safetensors.index.json", "model.safetensors",
                           "pytorch_model.bin.index.json", "pytorch_model.bin"}) {
    if (fs::exists(folder / name)) return folder / name;
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
    if (name.ends_with(".index.json")) return folder / name;
  }
  if (names.empty()) fail(folder.string(), ": is a folder without a weight file");
  if (names.size() > 1) {
    fail(folder.string(), ": is a folder with several weight files; name one of ", join(names));
  }
  return folder / names[0];
}

}  // namespace

LoadOptions tokenizer_sections(bool prefer_ema) {
  if (prefer_ema) return {.sections = {"state_dict", "vq_ema", "vq", "model"}};
  return {.sections = {"state_dict", "vq", "vq_ema", "model"}};
}

LoadOptions ar_sections(bool prefer_ema) {
  if (prefer_ema) return {.sections = {"ema", "ar", "model"}};
  return {.sections = {"ar", "model", "ema"}};
}

LoadOptions section(const std::string& name) { return {.sections = {name}, .accept_bare = false}; }

TensorMap load_tensors(const fs::path& path, const LoadOptions& options) {
  const fs::path file = fs::is_directory(path) ? file_in_folder(path) : path;
  return without_wrappers(read_file(file, options), file.string());
}

}  // namespace gear::io
