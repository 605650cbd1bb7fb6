#include "cli/tensor_list.h"

#include <algorithm>

#include "gear/core/text.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "gear/io/torch_archive.h"
#include "gear/io/weights.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;

TensorEntry entry_of(const std::string& name, const at::Tensor& tensor) {
  return {name, tensor.sizes().vec(), tensor.scalar_type()};
}

TensorList list_safetensors(const fs::path& path) {
  const io::SafetensorsFile file(path);
  TensorList list;
  for (const std::string& name : file.names()) {
    const io::TensorInfo& info = file.info(name);
    list.entries.push_back({name, info.shape, info.dtype});
  }
  return list;
}

/// One list per top-level key that holds tensors below it.
std::vector<TensorList> list_torch(const fs::path& path) {
  const io::TorchArchive archive(path);
  std::vector<TensorList> lists;
  for (const auto& [full_name, tensor] : io::collect_tensors(archive.root())) {
    const size_t slash = full_name.find('/');
    const std::string key = slash == std::string::npos ? "" : full_name.substr(0, slash);
    const std::string name = slash == std::string::npos ? full_name : full_name.substr(slash + 1);
    auto list = std::find_if(lists.begin(), lists.end(),
                             [&](const TensorList& other) { return other.name == key; });
    if (list == lists.end()) list = lists.insert(lists.end(), TensorList{key, {}});
    list->entries.push_back(entry_of(name, tensor));
  }
  return lists;
}

}  // namespace

int64_t TensorEntry::numel() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

int64_t TensorList::numel() const {
  int64_t count = 0;
  for (const TensorEntry& entry : entries) count += entry.numel();
  return count;
}

int64_t TensorList::bytes() const {
  int64_t count = 0;
  for (const TensorEntry& entry : entries) count += entry.bytes();
  return count;
}

std::string TensorList::dtypes() const {
  std::vector<std::string> names;
  for (const TensorEntry& entry : entries) {
    const std::string name = io::safetensors_dtype_name(entry.dtype);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return join(names);
}

WeightFile list_tensors(const fs::path& path) {
  if (!fs::is_directory(path)) {
    const auto file = io::MappedFile::open(path);
    if (io::SafetensorsFile::recognises(*file)) return {"safetensors", {list_safetensors(path)}};
    if (io::TorchArchive::recognises(*file)) return {"torch.save", list_torch(path)};
  }
  // An index, a folder, or nothing of the kind: then this says what it is.
  TensorList list;
  for (const auto& [name, tensor] : io::load_tensors(path))
    list.entries.push_back(entry_of(name, tensor));
  return {"sharded weights", {list}};
}

}  // namespace gear::cli
