#include "gear/train/checkpoint.h"

#include <algorithm>
#include <system_error>

#include "gear/core/text.h"
#include "gear/io/hash.h"
#include "gear/train/named_checkpoint.h"
#include "train/checkpoint_manifest.h"
#include "train/open_together.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;

/// Throws unless the file holds exactly the tensors of the group, in shape and type.
void expect_same_tensors(const io::SafetensorsFile& file, const std::string& path,
                         const TensorGroup& group) {
  constexpr const char* kAdvice =
      "; the checkpoint belongs to another architecture: use the configuration it was made with";
  for (const auto& [name, tensor] : group.tensors) {
    const at::IntArrayRef shape = group.global_shape(name, tensor);
    if (!file.contains(name)) {
      fail(path, ": ", name, " is missing, expected ", sizes_string(shape), kAdvice);
    }
    const io::TensorInfo& info = file.info(name);
    if (at::IntArrayRef(info.shape) != shape) {
      fail(path, ": ", name, ": expected ", sizes_string(shape), ", got ", sizes_string(info.shape),
           kAdvice);
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

constexpr const char* kStoreName = "checkpoints";

constexpr const char* kIsNothing = "nothing";
constexpr const char* kIsCheckpoint = "checkpoint";
constexpr const char* kIsRun = "run";
constexpr const char* kIsStore = "store";

std::string kind_of_folder(const fs::path& path) {
  std::error_code ignored;
  // Other programs write a manifest.json too, so that name alone says nothing.
  if (fs::exists(path / kManifestName, ignored) && fs::exists(path / kConfigName, ignored)) {
    return kIsCheckpoint;
  }
  if (!CheckpointStore(path / kStoreName, /*keep=*/1).list().empty()) return kIsRun;
  return CheckpointStore(path, /*keep=*/1).list().empty() ? kIsNothing : kIsStore;
}

/// The elements that this rank holds, over the mapped file.
Tensor stored_elements(const io::SafetensorsFile& file, const TensorGroup& group,
                       const std::string& name, const Tensor& tensor) {
  const Tensor whole = file.tensor(name);
  const auto shard = group.shards.find(name);
  if (shard == group.shards.end()) return whole;
  return whole.view(-1).narrow(0, shard->second.offset, tensor.numel());
}

}  // namespace

Checkpoint::Checkpoint(fs::path folder) : folder_(std::move(folder)) {
  std::error_code ignored;
  if (!fs::is_directory(folder_, ignored)) {
    fail(folder_.string(), ": no such checkpoint folder; expected a folder like ",
         checkpoint_name(1000), " with a ", kManifestName);
  }
  try {
    const auto [manifest, sum] = read_checked_manifest(folder_);
    sha256_ = sum;
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
  for (const auto& [name, entry] : manifest.at("files").items()) read_file(name, entry);
}

void Checkpoint::read_file(const std::string& name, const nlohmann::json& entry) {
  if (name != fs::path(name).filename()) {
    throw DamagedCheckpoint((folder_ / kManifestName).string() +
                            ": names a file elsewhere: " + name);
  }
  FileEntry& file = files_.emplace_back();
  file.name = name;
  file.group = entry.value("group", "");
  file.bytes = entry.at("bytes");
  if (entry.contains("sha256")) {
    file.parts.push_back({.offset = 0, .bytes = file.bytes, .sha256 = entry.at("sha256")});
    return;
  }
  const auto& head = entry.at("head");
  file.parts.push_back({.offset = 0, .bytes = head.at("bytes"), .sha256 = head.at("sha256")});
  for (const auto& part : entry.at("parts")) {
    file.parts.push_back(
        {.offset = part.at("offset"), .bytes = part.at("bytes"), .sha256 = part.at("sha256")});
  }
  uint64_t covered = 0;
  for (const Part& part : file.parts) {
    if (part.offset != covered) break;
    covered += part.bytes;
  }
  if (covered == file.bytes) return;
  throw DamagedCheckpoint((folder_ / kManifestName).string() + ": lists no SHA-256 for byte " +
                          std::to_string(covered) + " of " + name);
}

void Checkpoint::verify(int64_t share, int64_t shares) const {
  uint64_t total = 0;
  for (const FileEntry& file : files_) {
    verify_size(file);
    total += file.bytes;
  }
  uint64_t before = 0;  // bytes of the parts up to here
  for (const FileEntry& file : files_) {
    for (const Part& part : file.parts) {
      const auto owner = before / (total / static_cast<uint64_t>(shares) + 1);
      if (owner == static_cast<uint64_t>(share)) verify_part(file, part);
      before += part.bytes;
    }
  }
}

void Checkpoint::verify_size(const FileEntry& file) const {
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
}

void Checkpoint::verify_part(const FileEntry& file, const Part& part) const {
  const fs::path path = folder_ / file.name;
  std::string sum;
  try {
    sum = io::sha256_of_range(path, part.offset, part.bytes);
  } catch (const Error& error) {  // names the file; a disk error, say
    throw DamagedCheckpoint(error.what());
  }
  if (sum != part.sha256) {
    throw DamagedCheckpoint(path.string() + ": damaged: its SHA-256 is not the one in " +
                            kManifestName);
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
    for (const auto& [name, tensor] : groups[i].tensors) {
      tensor.copy_(stored_elements(files[i], groups[i], name, tensor));
    }
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

std::optional<Checkpoint> find_checkpoint(const fs::path& path, const Warn& warn,
                                          const dist::World& world) {
  const std::string kind = told_by_first(world, [&] { return kind_of_folder(path); });
  if (kind == kIsNothing) return std::nullopt;
  if (kind == kIsCheckpoint) {
    return open_named([&] { return open_verified(path, world); });
  }
  const fs::path folder = kind == kIsRun ? path / kStoreName : path;
  return CheckpointStore(folder, /*keep=*/1, {.world = world}).newest_good(warn);
}

}  // namespace gear::train
