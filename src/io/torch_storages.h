#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "gear/io/pickle.h"

namespace gear::io {

class MappedFile;

/// A storage as a pickle describes it: its record in the file, element type and count. The
/// PickleValue holds the key in `text`, and the flat elements in `tensor` once they are known.
struct StorageEntry {
  PickleValue* value = nullptr;
  at::ScalarType dtype = at::kByte;
  int64_t count = 0;  // elements

  int64_t bytes() const { return count * static_cast<int64_t>(c10::elementSize(dtype)); }
};

/// The storages that persistent ids of one file name, each once.
class StorageTable {
 public:
  explicit StorageTable(PickleTree& tree) : tree_(tree) {}

  /// ("storage", type, key, location, count[, None]) as torch.save writes it.
  PickleValue* add(const PickleValue& id);
  std::unordered_map<std::string, StorageEntry>& entries() { return entries_; }

 private:
  PickleTree& tree_;
  std::unordered_map<std::string, StorageEntry> entries_;
};

/// The elements of a storage, `offset` bytes into the file; as tensor_over, but bytes are aligned
/// for every dtype that a tensor may read them as.
at::Tensor storage_over(const std::shared_ptr<const MappedFile>& file, size_t offset,
                        const StorageEntry& entry);

/// Gives a described tensor its values: a view of its storage. Sizes, strides and offset are
/// checked; the message of an Error has no path.
void build_tensor(PickleValue& tensor);

}  // namespace gear::io
