#include "gear/train/network_parts.h"

#include <algorithm>

#include "gear/core/error.h"
#include "gear/io/mapped_file.h"
#include "gear/io/weight_sections.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<const io::TorchArchive> open_archive(const fs::path& path) {
  if (fs::is_directory(path)) return nullptr;
  if (!io::TorchArchive::recognises(*io::MappedFile::open(path))) return nullptr;
  return std::make_shared<io::TorchArchive>(path);
}

/// Whether tensors under this key of a torch file are an average.
bool is_average(const std::string& key) { return key == "ema" || key == "vq_ema"; }

/// A folder for each network, named after it.
NetworkParts read_folder_of_parts(const fs::path& path) {
  NetworkParts parts;
  for (const std::string& group : network_groups()) {
    if (fs::is_directory(path / group)) parts.networks[group] = io::load_tensors(path / group);
  }
  return parts;
}

std::string group_of(const std::string& key, const io::TensorMap& tensors) {
  const std::string network = network_of(tensors);
  const bool has_average = network == "tokenizer" || network == "ar";
  return network + (has_average && is_average(key) ? "_ema" : "");
}

}  // namespace

const std::vector<std::string>& network_groups() {
  static const std::vector<std::string> kGroups = {"tokenizer", "tokenizer_ema", "ar",
                                                   "ar_ema",    "projector",     "discriminator"};
  return kGroups;
}

bool is_network_group(const std::string& group) {
  const auto& groups = network_groups();
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

std::string network_of(const io::TensorMap& tensors) {
  const auto begins_with = [&](const std::string& beginning) {
    const auto found = tensors.lower_bound(beginning);
    return found != tensors.end() && found->first.starts_with(beginning);
  };
  if (tensors.contains("tok_embeddings.weight") || begins_with("layers.0.attention.")) return "ar";
  if (begins_with("encoder.") && begins_with("decoder.")) return "tokenizer";
  if (begins_with("projs.")) return "projector";
  if (begins_with("main.0.")) return "discriminator";
  return "";
}

NetworkParts read_network_parts(const fs::path& path) {
  NetworkParts parts = read_folder_of_parts(path);
  if (!parts.networks.empty()) return parts;
  parts.archive = open_archive(path);
  std::map<std::string, io::TensorMap> sections;
  if (parts.archive != nullptr) sections = io::tensor_sections(*parts.archive);
  // Also what is no weight file at all: then this says so.
  if (sections.empty()) sections[""] = io::load_tensors(path);
  std::map<std::string, std::string> key_of_group;
  for (const auto& [key, tensors] : sections) {
    const std::string group = group_of(key, tensors);
    const auto [other, is_new] = key_of_group.emplace(group, key);
    if (!is_new && !group.empty()) {
      fail(path.string(), ": holds two networks that are a ", group, ", ", other->second, " and ",
           key, "; save the one that is meant alone");
    }
    parts.networks[group].insert(tensors.begin(), tensors.end());
  }
  return parts;
}

}  // namespace gear::train
