#include "cli/convert_contents.h"

#include <cstdlib>

#include "cli/convert.h"
#include "gear/core/error.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "gear/train/config_text.h"
#include "gear/train/reference/args.h"
#include "gear/train/reference/checkpoint.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;
using train::NetworkParts;
using train::RunConfig;

io::TensorMap tensors_of(const io::SafetensorsFile& file) {
  io::TensorMap tensors;
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name);
  return tensors;
}

ConvertContents from_checkpoint(const train::Checkpoint& checkpoint) {
  ConvertContents contents{.parts = {},
                           .others = {},
                           .config = config::load<RunConfig>(checkpoint.config_path()),
                           .position = checkpoint.position(),
                           .left_out = {}};
  for (const std::string& group : checkpoint.groups()) {
    const io::SafetensorsFile file(checkpoint.group_path(group));
    if (train::is_network_group(group)) {
      contents.parts.networks[group] = tensors_of(file);
      continue;
    }
    train::TensorGroup other{group, {}};
    for (const std::string& name : file.names())
      other.tensors.emplace_back(name, file.tensor(name));
    contents.others.push_back(std::move(other));
  }
  return contents;
}

/// What a safetensors file, or one below a folder, says about itself.
io::Metadata metadata_of(const fs::path& path) {
  fs::path file = path;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.path().extension() == ".safetensors") file = entry.path();
    }
  }
  if (!fs::is_regular_file(file)) return {};
  if (!io::SafetensorsFile::recognises(*io::MappedFile::open(file))) return {};
  return io::SafetensorsFile(file).metadata();
}

void take_metadata(const fs::path& path, bool with_config, ConvertContents& contents) {
  const io::Metadata metadata = metadata_of(path);
  const auto config = metadata.find(kConfigKey);
  if (with_config && config != metadata.end()) {
    const std::string source = path.string() + ": " + kConfigKey;
    contents.config = train::config_of_text(config->second, source);
  }
  const auto step = metadata.find(kStepKey);
  if (step != metadata.end()) contents.position.step = std::atoll(step->second.c_str());
  // Names do not tell an average from live weights.
  const auto part = metadata.find(kPartKey);
  auto& networks = contents.parts.networks;
  if (part == metadata.end() || networks.size() != 1) return;
  if (part->second == networks.begin()->first + "_ema") {
    auto entry = networks.extract(networks.begin());
    entry.key() = part->second;
    networks.insert(std::move(entry));
  }
}

/// Names in a Lightning state_dict that are no weights of the model: its losses and bookkeeping.
std::vector<std::string> left_out_of_lightning(const NetworkParts& parts) {
  std::vector<std::string> names;
  const io::PickleValue* state = parts.archive->root().find("state_dict");
  if (state == nullptr) return names;
  for (const auto& [key, value] : state->entries) {
    const std::string& name = key->text;
    const bool bookkeeping = name == "model_ema.decay" || name == "model_ema.num_updates";
    if (name.starts_with("loss.") || bookkeeping) names.push_back(name);
  }
  return names;
}

ConvertContents from_weights(const fs::path& path, bool with_config) {
  ConvertContents contents;
  contents.parts = train::read_network_parts(path);
  take_metadata(path, with_config, contents);
  if (contents.parts.archive == nullptr) return contents;
  contents.left_out = left_out_of_lightning(contents.parts);
  const io::PickleValue& root = contents.parts.archive->root();
  contents.position.step = train::reference::steps_of(root);
  const io::PickleValue* args = root.find("args");
  if (with_config && args != nullptr) {
    contents.config = train::reference::config_from_args(*args, path.string());
  }
  return contents;
}

}  // namespace

ConvertContents read_contents(const fs::path& path, bool with_config) {
  if (!fs::exists(path)) {
    fail(path.string(),
         ": no such file or folder; expected a run folder, a checkpoint folder or a weight file");
  }
  if (const auto checkpoint = train::find_checkpoint(path)) return from_checkpoint(*checkpoint);
  if (fs::is_directory(path / "checkpoints")) {
    fail(path.string(), ": this run has no checkpoint yet; let it train until it writes one");
  }
  return from_weights(path, with_config);
}

}  // namespace gear::cli
