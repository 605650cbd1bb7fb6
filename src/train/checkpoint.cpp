#include "gear/train/checkpoint.h"

#include <algorithm>
#include <system_error>

#include "gear/core/text.h"
#include "gear/io/hash.h"
#include "train/checkpoint_manifest.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;

/// Throws unless the file holds exactly the tensors of the group, in shape and type.
void expect_same_tensors(const io::SafetensorsFile& file, const std::string& path,
                         const TensorGroup& group) {
  constexpr const char* kAdvice =
      "; the checkpoint belongs to another architecture: use the configuration it was made with";
  for (const auto& [name, tensor] : group.tensors) {
    if (!file.contains(name)) {
      fail(path, ": ", name, " is missing, expected ", sizes_string(tensor.sizes()), kAdvice);
    }
    const io::TensorInfo& info = file.info(name);
    if (at::IntArrayRef(info.shape) != tensor.sizes()) {
      fail(path, ": ", name, ": expected ", sizes_string(tensor.sizes()), ", got ",
           sizes_string(info.shape), kAdvice);
    }
    if (info.dtype != tensor.scalar_type()) {
      fail(path, ": ", name, ": expected ", io::safetensors_dtype_name(tensor.scalar_type()),
           ", got ", io::safetensors_dtype_name(info.dtype), kAdvice);
    }
  }
  if (file.names().size() == group.tensors.size()) return;
  for (const std::string& name : file.names()) {
    const bool known = std::any_of(group.tensors.begin(), group.tensors.end(),
                                   [&](const auto& entry) { return entry.first == name; });
    if (!known) fail(path, ": ", name, " has no place in this model", kAdvice);
  }
}

std::string sha256_of(const fs::path& path) {
  try {
    return io::sha256_of_file(path);
  } catch (const Error& error) {  // names the file; a disk error, say
    throw DamagedCheckpoint(error.what());
  }
}

}  // namespace

Checkpoint::Checkpoint(fs::path folder) : folder_(std::move(folder)) {
  std::error_code ignored;
  if (!fs::is_directory(folder_, ignored)) {
    fail(folder_.string(), ": no such checkpoint folder; expected a folder like ",
         checkpoint_name(1000), " with a ", kManifestName);
  }
  const nlohmann::json manifest = read_checked_manifest(folder_);
  try {
    read_manifest(manifest);
  } catch (const nlohmann::json::exception& error) {
    throw DamagedCheckpoint((folder_ / kManifestName).string() + ": not a manifest (" +
                            error.what() + ")");
  }
}

void Checkpoint::read_manifest(const nlohmann::json& manifest) {
  const nlohmann::json data = manifest.value("data", nlohmann::json::object());
  position_ = {.step = manifest.at("step"),
               .micro_batches = manifest.at("micro_batches"),
               .samples = manifest.at("samples"),
               .seed = manifest.at("seed"),
               .data = {.images = data.value("images", int64_t{0}),
                        .names_sha256 = data.value("names_sha256", "")}};
  const int64_t world_size = manifest.at("world_size");
  if (world_size != 1) {
    fail(folder_.string(), ": written by ", world_size,
         " ranks; this gear reads checkpoints of one rank");
  }
  for (const auto& [name, entry] : manifest.at("files").items()) {
    if (name != fs::path(name).filename()) {
      throw DamagedCheckpoint((folder_ / kManifestName).string() +
                              ": names a file elsewhere: " + name);
    }
    files_.push_back({.name = name,
                      .sha256 = entry.at("sha256"),
                      .group = entry.value("group", ""),
                      .bytes = entry.at("bytes")});
  }
}

void Checkpoint::verify() const {
  for (const FileEntry& file : files_) {
    const fs::path path = folder_ / file.name;
    std::error_code error;
    const uint64_t bytes = fs::file_size(path, error);
    if (error == std::errc::no_such_file_or_directory) {
      throw DamagedCheckpoint(path.string() + ": missing, though " + kManifestName + " lists it");
    }
    if (error) throw DamagedCheckpoint(path.string() + ": cannot read: " + error.message());
    if (bytes != file.bytes) {
      throw DamagedCheckpoint(path.string() + ": damaged: expected " + std::to_string(file.bytes) +
                              " bytes, found " + std::to_string(bytes));
    }
    if (sha256_of(path) != file.sha256) {
      throw DamagedCheckpoint(path.string() + ": damaged: its SHA-256 is not the one in " +
                              kManifestName);
    }
  }
}

void Checkpoint::load(const std::vector<TensorGroup>& groups) const {
  std::vector<io::SafetensorsFile> files;
  for (const TensorGroup& group : groups) {
    const fs::path path = group_path(group.name);
    expect_same_tensors(files.emplace_back(path), path.string(), group);
  }
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < groups.size(); ++i) {
    for (const auto& [name, tensor] : groups[i].tensors) tensor.copy_(files[i].tensor(name));
  }
}

bool Checkpoint::contains(const std::string& group) const {
  return std::any_of(files_.begin(), files_.end(),
                     [&](const FileEntry& file) { return file.group == group; });
}

std::vector<std::string> Checkpoint::groups() const {
  std::vector<std::string> names;
  for (const FileEntry& file : files_) {
    if (!file.group.empty()) names.push_back(file.group);
  }
  return names;
}

fs::path Checkpoint::group_path(const std::string& group) const {
  if (!contains(group)) {
    fail(folder_.string(), ": holds no ", group, ", only ", join(groups()),
         "; was it written by another recipe?");
  }
  return folder_ / (group + ".safetensors");
}

std::optional<Checkpoint> find_checkpoint(const fs::path& path, const Warn& warn) {
  std::error_code ignored;
  // Other programs write a manifest.json too, so that name alone says nothing.
  if (fs::exists(path / kManifestName, ignored) && fs::exists(path / kConfigName, ignored)) {
    const Checkpoint checkpoint(path);
    checkpoint.verify();
    return checkpoint;
  }
  for (const fs::path& folder : {path / "checkpoints", path}) {
    const CheckpointStore store(folder, /*keep=*/1);
    if (!store.list().empty()) return store.newest_good(warn);
  }
  return std::nullopt;
}

}  // namespace gear::train
