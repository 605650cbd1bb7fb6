#include "gear/io/mapped_file.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "gear/core/error.h"

namespace gear::io {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a named pipe";
  return "a device";
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a named pipe would wait for somebody to write to it.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail(path.string(), ": cannot open: ", std::strerror(errno));
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail(path.string(), ": expected a file, found ", kind_of(status.st_mode));
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

void MappedFile::forget(size_t offset, size_t bytes) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = (offset + bytes) / page * page;
  if (begin < end) ::madvise(data_ + begin, end - begin, MADV_DONTNEED);  // only advice
}

std::optional<uint64_t> tensor_bytes(at::IntArrayRef sizes, at::ScalarType dtype) {
  auto bytes = static_cast<int64_t>(c10::elementSize(dtype));
  bool empty = false;
  for (const int64_t size : sizes) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(size, 1), &bytes)) return std::nullopt;
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

void check_booleans(std::string_view bytes) {
  const auto is_other = [](char byte) { return byte != 0 && byte != 1; };
  const auto found = std::find_if(bytes.begin(), bytes.end(), is_other);
  if (found == bytes.end()) return;
  fail("booleans must be bytes of 0 and 1, found ",
       static_cast<int>(static_cast<unsigned char>(*found)),
       "; the file is damaged, fetch or copy it again");
}

at::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file, size_t offset,
                       at::IntArrayRef sizes, at::ScalarType dtype) {
  const auto options = at::TensorOptions().dtype(dtype);
  const auto count = tensor_bytes(sizes, dtype);
  TORCH_CHECK(count && offset <= file->size() && *count <= file->size() - offset,
              "tensor_over: ", sizes, " at byte ", offset, " leave ", file->path());
  if (*count == 0) return at::empty(sizes, options);
  if (dtype == at::kBool) check_booleans(file->bytes().substr(offset, *count));
  char* bytes = const_cast<char*>(file->data()) + offset;  // pages are private to this process
  if (reinterpret_cast<uintptr_t>(bytes) % c10::elementSize(dtype) != 0) {
    auto copy = at::empty(sizes, options);
    std::memcpy(copy.data_ptr(), bytes, *count);
    return copy;
  }
  return at::from_blob(
      bytes, sizes, [file](void*) {}, options);
}

}  // namespace gear::io
