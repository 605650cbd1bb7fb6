#include "gear/io/weights.h"

#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"
#include "io/script_module.h"
#include "io/weight_files.h"
#include "io/weight_names.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;

TensorMap read_safetensors(const fs::path& path) {
  const SafetensorsFile file(path);
  TensorMap tensors;
  for (const auto& name : file.names()) tensors[name] = file.tensor(name);
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
    return with_context(archive.path(), [&] { return values_of(script_tensors(root)); });
  }
  if (!root.is(PickleValue::Kind::kDict)) {
    fail(archive.path(), ": holds ", describe(root),
         ", expected a dictionary of tensors; save the state_dict of the model");
  }
  for (const auto& name : options.sections) {
    const PickleValue* part = root.find(name);
    if (part == nullptr || !part->is(PickleValue::Kind::kDict)) continue;
    return values_of(section_tensors(name, *part, archive.path()));
  }
  const PickledMap tensors = tensors_of(root);
  if (!options.accept_bare || tensors.empty()) {
    fail(archive.path(), ": holds none of ", join(options.sections),
         options.accept_bare ? " and no tensors at its top level" : "", "; found the keys ",
         join(keys_of(root)), "; name a file that has one of them");
  }
  return values_of(tensors);
}

TensorMap read_file(const fs::path& path, const LoadOptions& options);

/// A model in several files.
TensorMap read_shards(const fs::path& path, const LoadOptions& options) {
  std::map<std::string, TensorMap> shards;
  TensorMap tensors;
  for (const auto& [name, shard] : read_index(*MappedFile::open(path))) {
    if (!shards.contains(shard)) shards[shard] = read_file(path.parent_path() / shard, options);
    const auto found = shards[shard].find(name);
    if (found == shards[shard].end()) {
      fail(path.string(), ": ", name, " is not in ", shard, " as the index says; fetch both again");
    }
    tensors[name] = found->second;
  }
  return tensors;
}

TensorMap read_file(const fs::path& path, const LoadOptions& options) {
  switch (content_of(*MappedFile::open(path))) {
    case WeightContent::kSafetensors:
      return read_safetensors(path);
    case WeightContent::kTorch:
      return read_torch(path, options);
    case WeightContent::kIndex:
      return read_shards(path, options);
  }
  fail(path.string(), ": unhandled content");
}

}  // namespace

LoadOptions tokenizer_sections(bool prefer_ema) {
  if (prefer_ema) return {.sections = {"state_dict", "vq_ema", "vq", "model"}};
  return {.sections = {"state_dict", "vq", "vq_ema", "model"}};
}

LoadOptions ar_sections(bool prefer_ema) {
  // `module` and `state_dict` are those of some LlamaGen releases.
  if (prefer_ema) return {.sections = {"ema", "ar", "model", "module", "state_dict"}};
  return {.sections = {"ar", "model", "module", "state_dict", "ema"}};
}

LoadOptions section(const std::string& name) { return {.sections = {name}, .accept_bare = false}; }

TensorMap load_tensors(const fs::path& path, const LoadOptions& options) {
  const fs::path file = fs::is_directory(path) ? file_in_folder(path) : path;
  return without_wrappers(read_file(file, options), file.string());
}

}  // namespace gear::io
