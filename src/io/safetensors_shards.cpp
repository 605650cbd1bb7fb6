#include "gear/io/safetensors_shards.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "gear/io/atomic.h"

namespace gear::io {
namespace {

/// The tensors in their order, as many to a shard as fit.
std::vector<NamedTensors> shards_of(const NamedTensors& tensors, uint64_t most_bytes) {
  std::vector<NamedTensors> shards(1);
  uint64_t bytes = 0;
  for (const auto& entry : tensors) {
    if (bytes + entry.second.nbytes() > most_bytes && !shards.back().empty()) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += entry.second.nbytes();
    shards.back().push_back(entry);
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

}  // namespace

void write_sharded_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                               uint64_t most_bytes, const Metadata& metadata) {
  const auto shards = shards_of(tensors, most_bytes);
  AtomicDirectory folder(path);
  if (shards.size() == 1) {
    write_safetensors(folder.path() / "model.safetensors", tensors, metadata);
    folder.commit();
    return;
  }
  uint64_t total = 0;
  nlohmann::json weight_map = nlohmann::json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    write_safetensors(folder.path() / name, shards[i], metadata);
    for (const auto& [tensor_name, tensor] : shards[i]) {
      total += tensor.nbytes();
      weight_map[tensor_name] = name;
    }
  }
  const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
  write_file_atomically(folder.path() / "model.safetensors.index.json", index.dump(2) + "\n");
  folder.commit();
}

}  // namespace gear::io
