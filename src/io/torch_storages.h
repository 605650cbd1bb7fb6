#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "gear/io/pickle.h"
#include "io/unaligned_storage.h"

namespace gear::io {

class MappedFile;

/// A storage: what a pickle says of it, and one of its two forms once it is found in the file.
struct StorageEntry {
  PickleValue* value = nullptr;  // holds the key in `text`
  at::ScalarType dtype = at::kByte;
  int64_t count = 0;      // elements
  at::Tensor elements{};  // [count] over the file
  std::shared_ptr<UnalignedStorage> unaligned{};

  bool is_placed() const { return elements.defined() || unaligned != nullptr; }

  int64_t bytes() const { return count * static_cast<int64_t>(c10::elementSize(dtype)); }
};

/// The storages that persistent ids of one file name, each once.
class StorageTable {
 public:
  explicit StorageTable(PickleTree& tree) : tree_(tree) {}

  /// ("storage", type, key, location, count[, None]) as torch.save writes it.
  PickleValue* add(const PickleValue& id);
  std::unordered_map<std::string, StorageEntry>& entries() { return entries_; }

  /// Gives a described tensor its values: a view of its storage, which has its place by now. Sizes,
  /// strides and offset are checked; the message of an Error has no path.
  void build(PickleValue& tensor) const;

 private:
  PickleTree& tree_;
  std::unordered_map<std::string, StorageEntry> entries_;
};

/// Sets the place of a storage, `begin` bytes into the file. Nothing is copied: files of PyTorch
/// before 1.6 align nothing, and a storage may be as large as memory.
void place_storage(StorageEntry& entry, const std::shared_ptr<const MappedFile>& file,
                   size_t begin);

}  // namespace gear::io
