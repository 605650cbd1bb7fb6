#include "gear/io/weight_parts.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "gear/core/error.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"
#include "io/script_module.h"
#include "io/weight_files.h"
#include "io/weight_names.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;
using Kind = PickleValue::Kind;

StoredTensor stored(const std::string& name, const PickledTensor& tensor) {
  return {.name = name, .shape = tensor.sizes, .dtype = tensor.dtype, .values = tensor.values};
}

WeightFile open_safetensors(const fs::path& path) {
  const auto file = std::make_shared<const SafetensorsFile>(path);
  WeightPart part;
  for (const std::string& name : file->names()) {
    const TensorInfo& info = file->info(name);
    part.tensors.push_back(
        {.name = name, .shape = info.shape, .dtype = info.dtype, .values = [file, name] {
           return file->tensor(name);
         }});
  }
  WeightFile result{.files = {path}, .format = "safetensors", .parts = {std::move(part)}};
  for (const auto& [key, value] : file->metadata()) {
    result.facts.emplace_back("metadata " + key, value);
  }
  return result;
}

std::string text_of(const PickleValue& value) {
  std::ostringstream text;
  switch (value.kind) {
    case Kind::kBool:
      return value.integer != 0 ? "true" : "false";
    case Kind::kInt:
      return std::to_string(value.integer);
    case Kind::kFloat:
      text << value.real;
      return text.str();
    case Kind::kString:
      return value.text;
    default:
      return describe(value);
  }
}

/// One part per top-level key that holds tensors below it.
std::vector<WeightPart> parts_of(const PickleValue& root) {
  std::vector<WeightPart> parts;
  std::unordered_map<std::string, size_t> places;  // by name; a file may have a great many
  for (const auto& [full_name, tensor] : collect_tensors(root)) {
    const size_t slash = full_name.find('/');
    const std::string key = slash == std::string::npos ? "" : full_name.substr(0, slash);
    const std::string name = slash == std::string::npos ? full_name : full_name.substr(slash + 1);
    const auto [place, is_new] = places.emplace(key, parts.size());
    if (is_new) parts.push_back({key, {}});
    parts[place->second].tensors.push_back(stored(name, *tensor));
  }
  return parts;
}

/// The state_dict of Lightning in its three parts.
std::vector<WeightPart> split_lightning(std::vector<WeightPart> parts) {
  std::vector<WeightPart> result;
  for (WeightPart& part : parts) {
    if (part.name != "state_dict") {
      result.push_back(std::move(part));
      continue;
    }
    for (WeightPart& piece : lightning_parts(std::move(part))) result.push_back(std::move(piece));
  }
  return result;
}

/// The entries of a dictionary, or the attributes of an object such as argparse.Namespace.
Facts entries_of(const PickleValue& value) {
  Facts facts;
  const PickleValue& dict = value.is(Kind::kObject) && value.state ? *value.state : value;
  for (const auto& [key, entry] : dict.entries) {
    if (key->is(Kind::kString)) facts.emplace_back(key->text, text_of(*entry));
  }
  return facts;
}

/// What stands at the top of a torch file beside the tensors.
void add_plain_values(const PickleValue& root, WeightFile& file) {
  std::unordered_set<std::string> with_tensors;
  for (const WeightPart& part : file.parts) {
    with_tensors.insert(part.name.substr(0, part.name.find('/')));  // state_dict/model_ema
  }
  for (const auto& [key, value] : root.entries) {
    if (!key->is(Kind::kString) || value->is(Kind::kTensor) || with_tensors.contains(key->text)) {
      continue;
    }
    Facts entries = entries_of(*value);
    if (entries.empty()) {
      file.facts.emplace_back(key->text, text_of(*value));
    } else {
      file.settings.emplace_back(key->text, std::move(entries));
    }
  }
}

WeightFile open_torch(const fs::path& path, const WeightFileOptions& options) {
  const TorchArchive archive(path, {.check_values = options.check_values});
  const PickleValue& root = archive.root();
  WeightFile file{.files = {path}, .format = "torch.save", .facts = archive.facts()};
  with_context(archive.path(), [&] {
    if (is_script_module(root)) {
      file.format = "TorchScript";
      WeightPart part;
      for (const auto& [name, tensor] : script_tensors(root)) {
        part.tensors.push_back(stored(name, *tensor));
      }
      file.parts.push_back(std::move(part));
      return;
    }
    file.parts = split_lightning(parts_of(root));
    if (root.is(Kind::kDict)) add_plain_values(root, file);
  });
  return file;
}

WeightFile open_index(const fs::path& path, const WeightFileOptions& options) {
  std::map<std::string, std::map<std::string, StoredTensor>> shards;
  WeightPart whole;
  for (const auto& [name, shard] : read_index(*MappedFile::open(path))) {
    if (!shards.contains(shard)) {
      for (const WeightPart& part : open_weight_file(path.parent_path() / shard, options).parts) {
        for (const StoredTensor& tensor : part.tensors) shards[shard][tensor.name] = tensor;
      }
    }
    const auto found = shards[shard].find(name);
    if (found == shards[shard].end()) {
      fail(path.string(), ": ", name, " is not in ", shard, " as the index says; fetch both again");
    }
    whole.tensors.push_back(found->second);
  }
  WeightFile file{.files = {path}, .format = "sharded weights", .parts = {std::move(whole)}};
  for (const auto& [shard, tensors] : shards) file.files.push_back(path.parent_path() / shard);
  file.facts.emplace_back("shards", std::to_string(shards.size()));
  return file;
}

/// What Hugging Face's config.json in the same folder says of the model, if it is there.
void add_hugging_face_config(const fs::path& folder, Facts& facts) {
  if (!fs::is_regular_file(folder / "config.json")) return;
  const auto file = MappedFile::open(folder / "config.json");
  const auto json =
      nlohmann::json::parse(file->bytes().begin(), file->bytes().end(), nullptr, false);
  if (!json.is_object()) return;
  for (const char* key : {"_name_or_path", "model_type", "architectures", "transformers_version"}) {
    if (!json.contains(key)) continue;
    const bool in_list = json[key].is_array() && json[key].size() == 1;
    const auto& value = in_list ? json[key][0] : json[key];
    facts.emplace_back(std::string("config.json ") + key,
                       value.is_string() ? value.get<std::string>() : value.type_name());
  }
}

/// Several networks, a part for each folder under its name.
WeightFile open_folders(const std::vector<fs::path>& folders, const WeightFileOptions& options) {
  WeightFile all{.files = {}, .format = "folders of weights"};
  for (const fs::path& folder : folders) {
    const std::string name = folder.filename().string();
    WeightFile file = open_weight_file(folder, options);
    all.files.insert(all.files.end(), file.files.begin(), file.files.end());
    for (WeightPart& part : file.parts) {
      const std::string below = part.name.empty() ? "" : "/" + part.name;
      all.parts.push_back({name + below, std::move(part.tensors)});
    }
    for (auto& [fact, value] : file.facts) all.facts.emplace_back(name + ": " + fact, value);
    for (auto& [key, entries] : file.settings) {
      all.settings.emplace_back(name + ": " + key, std::move(entries));
    }
  }
  return all;
}

}  // namespace

int64_t StoredTensor::numel() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

bool WeightFile::has_settings(const std::string& name) const {
  return std::any_of(settings.begin(), settings.end(),
                     [&](const auto& entry) { return entry.first == name; });
}

const std::string* WeightFile::fact(const std::string& name) const {
  const auto found = std::find_if(facts.begin(), facts.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  return found == facts.end() ? nullptr : &found->second;
}

WeightFile open_weight_file(const fs::path& path, const WeightFileOptions& options) {
  if (fs::is_directory(path)) {
    const auto folders = weight_folders(path);
    if (!folders.empty()) return open_folders(folders, options);
    WeightFile file = open_weight_file(file_in_folder(path), options);
    add_hugging_face_config(path, file.facts);
    return file;
  }
  switch (content_of(*MappedFile::open(path))) {
    case WeightContent::kSafetensors:
      return open_safetensors(path);
    case WeightContent::kTorch:
      return open_torch(path, options);
    case WeightContent::kIndex:
      return open_index(path, options);
  }
  fail(path.string(), ": unhandled content");
}

}  // namespace gear::io
