#include "io/unaligned_storage.h"

#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>

#include <cstring>
#include <utility>

#include "gear/io/mapped_file.h"

namespace gear::io {
namespace {

constexpr size_t kWidest = 16;  // bytes of an element; copies begin at a multiple of it

}  // namespace

UnalignedStorage::UnalignedStorage(std::shared_ptr<const MappedFile> file, size_t begin,
                                   size_t bytes)
    : file_(std::move(file)),
      begin_(begin),
      bytes_(bytes),
      copy_(c10::intrusive_ptr<c10::StorageImpl>()) {}

at::Tensor UnalignedStorage::tensor(at::ScalarType dtype, const StorageView& view) {
  const std::scoped_lock lock(mutex_);
  const size_t width = c10::elementSize(dtype);
  const size_t first = static_cast<size_t>(view.offset) * width;
  const size_t count = at::detail::computeStorageNbytes(view.sizes, view.strides, width);
  const at::Tensor bytes = copy_with(first, first + count);
  const auto whole = static_cast<int64_t>(bytes.nbytes() / width * width);
  return at::as_strided(bytes.narrow(0, 0, whole).view(dtype), view.sizes, view.strides,
                        static_cast<int64_t>((first - copy_begin_) / width));
}

at::Tensor UnalignedStorage::copy_with(size_t first, size_t last) {
  const auto bytes_of = [](size_t count) {
    return at::empty({static_cast<int64_t>(count)}, at::TensorOptions().dtype(at::kByte));
  };
  const auto alive = copy_.lock();
  if (alive && copy_begin_ <= first && last <= copy_begin_ + alive->nbytes()) {
    return bytes_of(0).set_(c10::Storage(alive));
  }
  // A second one beside a copy that is in use is the last that is needed.
  const size_t begin = alive ? 0 : first / kWidest * kWidest;
  const size_t end = alive ? bytes_ : last;
  const auto copy = bytes_of(end - begin);
  if (begin < end) std::memcpy(copy.data_ptr(), file_->data() + begin_ + begin, end - begin);
  file_->forget(begin_ + begin, end - begin);  // nothing else is made of these bytes
  copy_ = copy.storage().getWeakStorageImpl();
  copy_begin_ = begin;
  return copy;
}

}  // namespace gear::io
