#include "train/checkpoint_manifest.h"

#include <fstream>
#include <sstream>

#include "gear/io/atomic.h"
#include "gear/io/hash.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json file_entry(const fs::path& path) {
  return {{"bytes", fs::file_size(path)}, {"sha256", io::sha256_of_file(path)}};
}

/// Which part of which global tensor the file holds. One process writes whole tensors; a sharded
/// writer would put its own offset and shape here.
Json tensor_entry(const Tensor& tensor) {
  const std::vector<int64_t> offset(static_cast<size_t>(tensor.dim()), 0);
  return {{"global_shape", tensor.sizes().vec()},
          {"dtype", io::safetensors_dtype_name(tensor.scalar_type())},
          {"slice", {{"offset", offset}, {"shape", tensor.sizes().vec()}}}};
}

std::string read_whole(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw DamagedCheckpoint(path.string() + ": missing or not readable");
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string manifest_sum(const std::string& manifest) {
  return io::sha256_of_bytes(manifest) + "  " + kManifestName + "\n";
}

}  // namespace

void write_manifest(const fs::path& folder, const RunPosition& position,
                    const std::vector<TensorGroup>& groups) {
  Json files;
  files[kConfigName] = file_entry(folder / kConfigName);
  for (const TensorGroup& group : groups) {
    const std::string name = group.name + ".safetensors";
    Json entry = file_entry(folder / name);
    entry["group"] = group.name;
    entry["tensor_count"] = group.tensors.size();
    entry["tensors"] = Json::object();
    // Appended rather than looked up: an ordered object searches its keys one by one.
    auto& table = entry["tensors"].get_ref<Json::object_t&>();
    for (const auto& [tensor_name, tensor] : group.tensors) {
      table.push_back({tensor_name, tensor_entry(tensor)});
    }
    files[name] = std::move(entry);
  }
  const Json manifest = {
      {"format_version", kCheckpointFormat},
      {"gear_version", GEAR_VERSION},
      {"step", position.step},
      {"micro_batches", position.micro_batches},
      {"samples", position.samples},
      {"seed", position.seed},
      {"data", {{"images", position.data.images}, {"names_sha256", position.data.names_sha256}}},
      {"world_size", 1},
      {"files", std::move(files)}};
  const std::string text = manifest.dump(1) + "\n";
  io::write_file_atomically(folder / kManifestName, text);
  io::write_file_atomically(folder / kManifestSumName, manifest_sum(text));
}

nlohmann::json read_checked_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  const std::string text = read_whole(path);
  if (read_whole(folder / kManifestSumName) != manifest_sum(text)) {
    throw DamagedCheckpoint(path.string() + ": damaged: its SHA-256 is not the one in " +
                            kManifestSumName);
  }
  nlohmann::json manifest;
  try {
    manifest = nlohmann::json::parse(text);
    const int64_t version = manifest.at("format_version");
    if (version > kCheckpointFormat) {
      fail(path.string(), ": written in checkpoint format ", version, " by gear ",
           manifest.value("gear_version", "of a later version"), "; this is gear ", GEAR_VERSION,
           ", which reads formats up to ", kCheckpointFormat, ": use the newer gear");
    }
  } catch (const nlohmann::json::exception& error) {
    throw DamagedCheckpoint(path.string() + ": not a manifest (" + error.what() + ")");
  }
  return manifest;
}

}  // namespace gear::train
