#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "gear/core/error.h"
#include "gear/io/mapped_file.h"
#include "gear/io/npz.h"
#include "io/zip_reader.h"

namespace gear::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::string_view kNpyEnding = ".npy";

constexpr std::array<std::pair<std::string_view, at::ScalarType>, 14> kDescriptors{{
    {"|b1", at::kBool},
    {"|u1", at::kByte},
    {"|i1", at::kChar},
    {"<i2", at::kShort},
    {"<i4", at::kInt},
    {"<i8", at::kLong},
    {"<u2", at::kUInt16},
    {"<u4", at::kUInt32},
    {"<u8", at::kUInt64},
    {"<f2", at::kHalf},
    {"<f4", at::kFloat},
    {"<f8", at::kDouble},
    {"<c8", at::kComplexFloat},
    {"<c16", at::kComplexDouble},
}};

struct NpyHeader {
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  bool fortran_order = false;
  size_t data_begin = 0;
};

/// What follows "'key': " in the header, a Python dictionary.
std::string_view value_of(const std::string& where, std::string_view header, std::string_view key) {
  const std::string quoted = std::string("'").append(key).append("':");
  const size_t found = header.find(quoted);
  if (found == std::string_view::npos) fail(where, ": the npy header lacks ", key);
  const auto value = header.substr(found + quoted.size());
  return value.substr(std::min(value.find_first_not_of(' '), value.size()));
}

at::ScalarType dtype_of(const std::string& where, std::string_view value) {
  const size_t end = value.find('\'', 1);
  const auto name = value.starts_with("'") && end != std::string_view::npos
                        ? value.substr(1, end - 1)
                        : std::string_view();
  for (const auto& [known, dtype] : kDescriptors) {
    if (known == name) return dtype;
  }
  fail(where, ": arrays of dtype ", name.empty() ? value.substr(0, 20) : name,
       " cannot be read; expected little-endian numbers");
}

std::vector<int64_t> shape_of(const std::string& where, std::string_view value) {
  std::vector<int64_t> shape;
  const char* at = value.data() + 1;
  const char* end = value.data() + value.size();
  while (value.starts_with('(') && at < end && *at != ')') {
    int64_t size = 0;
    const auto [next, error] = std::from_chars(at, end, size);
    if (error != std::errc() || size < 0) break;
    shape.push_back(size);
    at = std::find_if(next, end, [](char letter) { return letter != ',' && letter != ' '; });
  }
  if (!value.starts_with('(') || at >= end || *at != ')') {
    fail(where, ": the npy header has the bad shape ", value.substr(0, 40));
  }
  return shape;
}

NpyHeader read_header(const std::string& where, std::string_view npy) {
  if (!npy.starts_with(kMagic) || npy.size() < 12) fail(where, ": is not a numpy array");
  const int version = npy[6];
  const size_t length_bytes = version == 1 ? 2 : 4;
  if (version < 1 || version > 3) fail(where, ": has the unknown npy version ", version);
  uint32_t length = 0;
  std::memcpy(&length, npy.data() + 8, length_bytes);
  const size_t begin = 8 + length_bytes;
  if (length > npy.size() - begin) fail(where, ": the npy header leaves the file");
  const auto text = npy.substr(begin, length);
  return {.dtype = dtype_of(where, value_of(where, text, "descr")),
          .shape = shape_of(where, value_of(where, text, "shape")),
          .fortran_order = value_of(where, text, "fortran_order").starts_with("True"),
          .data_begin = begin + length};
}

void check_size(const std::string& where, const NpyHeader& header, size_t npy_bytes) {
  if (header.shape.size() > kMaxDims) {
    fail(where, ": shape has ", header.shape.size(), " dimensions, more than ", kMaxDims);
  }
  const auto bytes = tensor_bytes(header.shape, header.dtype);
  if (!bytes) fail(where, ": shape ", sizes_string(header.shape), " overflows 63 bits");
  if (*bytes != npy_bytes - header.data_begin) {
    fail(where, ": shape ", sizes_string(header.shape), " needs ", *bytes, " bytes, found ",
         npy_bytes - header.data_begin);
  }
}

/// The array in C order: Fortran order is C order of the reversed axes.
template <class MakeTensor>
Tensor in_order(const NpyHeader& header, MakeTensor&& make_tensor) {
  std::vector<int64_t> shape = header.shape;
  if (!header.fortran_order) return make_tensor(shape);
  std::reverse(shape.begin(), shape.end());
  std::vector<int64_t> axes(shape.size());
  std::iota(axes.rbegin(), axes.rend(), int64_t{0});
  return make_tensor(shape).permute(axes).contiguous();
}

Tensor array_in_file(const std::string& where, const std::shared_ptr<const MappedFile>& file,
                     size_t begin, size_t bytes) {
  const NpyHeader header = read_header(where, file->bytes().substr(begin, bytes));
  check_size(where, header, bytes);
  return in_order(header, [&](const std::vector<int64_t>& shape) {
    return with_context(
        where, [&] { return tensor_over(file, begin + header.data_begin, shape, header.dtype); });
  });
}

Tensor array_in_memory(const std::string& where, std::string_view npy) {
  const NpyHeader header = read_header(where, npy);
  check_size(where, header, npy.size());
  if (header.dtype == at::kBool) {
    with_context(where, [&] { check_booleans(npy.substr(header.data_begin)); });
  }
  return in_order(header, [&](const std::vector<int64_t>& shape) {
    auto tensor = at::empty(shape, at::TensorOptions().dtype(header.dtype));
    std::memcpy(tensor.data_ptr(), npy.data() + header.data_begin, tensor.nbytes());
    return tensor;
  });
}

}  // namespace

Tensor read_npy(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  return array_in_file(file->path(), file, 0, file->size());
}

std::map<std::string, Tensor> read_npz(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const ZipReader zip(file);
  std::map<std::string, Tensor> arrays;
  for (const auto& [name, record] : zip.records()) {
    if (!name.ends_with(kNpyEnding)) continue;
    const std::string where = file->path() + ": " + name;
    const std::string plain = name.substr(0, name.size() - kNpyEnding.size());
    arrays[plain] = record.deflated
                        ? array_in_memory(where, zip.inflated(name))
                        : array_in_file(where, file, zip.record(name).begin, record.size);
  }
  return arrays;
}

}  // namespace gear::io
