#pragma once

#include <c10/core/StorageImpl.h>
#include <torch/types.h>

#include <memory>
#include <mutex>

namespace gear::io {

class MappedFile;

/// Which elements of a storage a tensor is made of.
struct StorageView {
  std::vector<int64_t> sizes, strides;
  int64_t offset = 0;  // elements
};

/// A storage whose bytes in the file are not aligned, as nearly all are in files of PyTorch before
/// 1.6, so that no tensor may stand over them. What is asked for is copied instead and kept only as
/// long as its tensors: a file is read tensor by tensor without ever holding more than one.
/// Tensors that are there at the same time share a copy, as far as it reaches, so that a file which
/// shows one storage again and again takes no more than twice its size.
class UnalignedStorage {
 public:
  /// `bytes` of the file from `begin` on.
  UnalignedStorage(std::shared_ptr<const MappedFile> file, size_t begin, size_t bytes);

  /// The view, which must lie within the storage, read as elements of this type.
  at::Tensor tensor(at::ScalarType dtype, const StorageView& view);

 private:
  /// A copy of at least the bytes [first, last) of the storage; sets copy_begin_.
  at::Tensor copy_with(size_t first, size_t last);

  std::shared_ptr<const MappedFile> file_;
  size_t begin_;
  size_t bytes_;
  std::mutex mutex_;                                // over what follows
  c10::weak_intrusive_ptr<c10::StorageImpl> copy_;  // the newest one, if a tensor keeps it
  size_t copy_begin_ = 0;                           // where in the storage it begins
};

}  // namespace gear::io
