#include "gear/io/mapped_file.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "gear/core/error.h"

namespace gear::io {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path.string(), ": cannot open: ", std::strerror(errno));
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail(path.string(), ": expected a file, found ",
         S_ISDIR(status.st_mode) ? "a folder" : "something that is not a regular file");
  }
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path.string();
  file->size_ = static_cast<size_t>(status.st_size);
  int error = 0;
  if (file->size_ > 0) {  // an empty mapping is not allowed
    void* address =
        ::mmap(nullptr, file->size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
    error = address == MAP_FAILED ? errno : 0;
    if (error == 0) file->data_ = static_cast<char*>(address);
  }
  ::close(descriptor);
  if (error != 0) fail(path.string(), ": cannot map: ", std::strerror(error));
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

at::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file, size_t offset,
                       at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto options = at::TensorOptions().dtype(dtype);
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  if (count == 0) return at::empty(sizes, options);
  char* bytes = const_cast<char*>(file->data()) + offset;  // pages are private to this process
  const size_t width = c10::elementSize(dtype);
  if (reinterpret_cast<uintptr_t>(bytes) % width != 0) {
    auto copy = at::empty(sizes, options);
    std::memcpy(copy.data_ptr(), bytes, static_cast<size_t>(count) * width);
    return copy;
  }
  return at::from_blob(
      bytes, sizes, [file](void*) {}, options);
}

}  // namespace gear::io
