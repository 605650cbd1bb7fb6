#include "train/checkpoint_manifest.h"

#include <fstream>
#include <sstream>

#include "gear/io/atomic.h"
#include "gear/io/hash.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json config_entry(const fs::path& path) {
  return {{"bytes", fs::file_size(path)}, {"sha256", io::sha256_of_file(path)}};
}

/// The whole tensors of a file: the parts tell who has written which bytes of them.
Json tensor_table(const PlannedFile& file) {
  Json table = Json::object();
  // Appended rather than looked up: an ordered object searches its keys one by one.
  auto& entries = table.get_ref<Json::object_t&>();
  for (size_t i = 0; i < file.outlines.size(); ++i) {
    const io::TensorOutline& tensor = file.outlines[i];
    Json entry = {{"global_shape", tensor.shape},
                  {"dtype", io::safetensors_dtype_name(tensor.dtype)},
                  {"offset", file.layout.begins[i]}};
    entries.push_back({tensor.name, std::move(entry)});
  }
  return table;
}

Json part_list(const std::vector<WrittenPart>& parts) {
  Json list = Json::array();
  for (const WrittenPart& part : parts) {
    list.push_back({{"rank", part.rank},
                    {"offset", part.offset},
                    {"bytes", part.bytes},
                    {"sha256", part.sha256}});
  }
  return list;
}

Json file_entry(const PlannedFile& file, const std::vector<WrittenPart>& parts) {
  return {{"bytes", file.layout.bytes},
          {"group", file.group},
          {"head",
           {{"bytes", file.layout.head.size()}, {"sha256", io::sha256_of_bytes(file.layout.head)}}},
          {"parts", part_list(parts)},
          {"tensor_count", file.outlines.size()},
          {"tensors", tensor_table(file)}};
}

std::string read_whole(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw DamagedCheckpoint(path.string() + ": missing or not readable");
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

/// The content of manifest.sha256.
std::string sum_line(const std::string& sha256) { return sha256 + "  " + kManifestName + "\n"; }

}  // namespace

void write_manifest(const fs::path& folder, const SavePlan& plan, const ManifestContent& content) {
  Json files;
  files[kConfigName] = config_entry(folder / kConfigName);
  for (size_t i = 0; i < plan.size(); ++i) {
    files[plan[i].name()] = file_entry(plan[i], content.parts[i]);
  }
  const RunPosition& position = content.position;
  const Json manifest = {
      {"format_version", kCheckpointFormat},
      {"gear_version", GEAR_VERSION},
      {"step", position.step},
      {"micro_batches", position.micro_batches},
      {"samples", position.samples},
      {"seed", position.seed},
      {"data", {{"images", position.data.images}, {"names_sha256", position.data.names_sha256}}},
      {"world_size", content.world_size},
      {"shard", content.shard_mode},
      {"files", std::move(files)}};
  const std::string text = manifest.dump(1) + "\n";
  io::write_file_atomically(folder / kManifestName, text);
  io::write_file_atomically(folder / kManifestSumName, sum_line(io::sha256_of_bytes(text)));
}

CheckedManifest read_checked_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  const std::string text = read_whole(path);
  const std::string sha256 = io::sha256_of_bytes(text);
  if (read_whole(folder / kManifestSumName) != sum_line(sha256)) {
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
  return {std::move(manifest), sha256};
}

}  // namespace gear::train
