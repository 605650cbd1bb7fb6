#include <algorithm>
#include <bit>
#include <cstring>

#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "gear/io/mapped_file.h"
#include "gear/io/safetensors.h"
#include "io/advice.h"
#include "io/safetensors_dtypes.h"
#include "io/strict_json.h"

namespace gear::io {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own reader
constexpr size_t kMaxDepth = 4;                    // {"name": {"shape": [...]}} needs three

using Json = nlohmann::json;

/// An object of JSON, in which no key occurs twice.
StrictJson parse_header(const std::string& path, std::string_view text) {
  StrictJson header = parse_strict_json(path + ": the header", text, kMaxDepth);
  if (!header.value.is_object()) {
    fail(path, ": the header is a JSON ", header.value.type_name(), ", expected an object");
  }
  return header;
}

std::string_view header_text(const MappedFile& file) {
  if (file.size() < kLengthBytes) {
    fail(file.path(), ": ", file.size(), " bytes are too few for a safetensors file");
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  const uint64_t available = file.size() - kLengthBytes;
  if (length > available) {
    fail(file.path(), ": the header should have ", length, " bytes, but only ", available,
         " follow; the file is truncated or not a safetensors file, fetch or copy it again");
  }
  if (length > kMaxHeaderBytes) {
    fail(file.path(), ": the header claims ", length, " bytes, the format allows ",
         kMaxHeaderBytes);
  }
  return file.bytes().substr(kLengthBytes, length);
}

Metadata read_metadata(const std::string& path, const Json& json) {
  if (!json.is_object()) fail(path, ": __metadata__ must be an object of strings");
  Metadata metadata;
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) fail(path, ": __metadata__: '", key, "' must be a string");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

at::ScalarType read_dtype(const std::string& where, const Json& entry) {
  const auto found = entry.find("dtype");
  if (found == entry.end() || !found->is_string()) fail(where, ": dtype is missing");
  const auto& name = found->get_ref<const std::string&>();
  for (const auto& [known, dtype] : kSafetensorsDtypes) {
    if (known == name) return dtype;
  }
  fail(where, ": dtype '", name, "' is unknown to this reader; convert it to F32, F16 or BF16");
}

/// Fills `shape` and returns the bytes it stands for.
uint64_t read_shape(const std::string& where, const Json& entry, TensorInfo& info) {
  const auto found = entry.find("shape");
  if (found == entry.end() || !found->is_array()) fail(where, ": shape is missing");
  if (found->size() > kMaxDims) {
    fail(where, ": shape has ", found->size(), " dimensions, more than ", kMaxDims);
  }
  for (const auto& size : *found) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > INT64_MAX) {
      fail(where, ": shape ", found->dump(), " holds something that is not a size");
    }
    info.shape.push_back(size.get<int64_t>());
  }
  const auto bytes = tensor_bytes(info.shape, info.dtype);
  if (!bytes) fail(where, ": shape ", found->dump(), " overflows 63 bits");
  return *bytes;
}

TensorInfo read_info(const std::string& where, const Json& entry, uint64_t data_begin,
                     uint64_t data_bytes) {
  if (!entry.is_object()) fail(where, ": expected an object with dtype, shape and data_offsets");
  TensorInfo info;
  info.dtype = read_dtype(where, entry);
  const uint64_t bytes = read_shape(where, entry, info);
  const auto offsets = entry.find("data_offsets");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) {
    fail(where, ": data_offsets must be two numbers");
  }
  const auto begin = (*offsets)[0].get<uint64_t>();
  const auto end = (*offsets)[1].get<uint64_t>();
  if (begin > end) fail(where, ": data_offsets ", offsets->dump(), " run backwards");
  if (end > data_bytes) {
    fail(where, ": data_offsets ", offsets->dump(), " leave the file, which has ", data_bytes,
         " bytes of data; it is truncated or damaged, fetch or copy it again");
  }
  if (end - begin != bytes) {
    fail(where, ": ", safetensors_dtype_name(info.dtype), " ", sizes_string(info.shape), " needs ",
         bytes, " bytes, data_offsets give ", end - begin);
  }
  info.begin = data_begin + begin;
  info.end = data_begin + end;
  return info;
}

/// Every byte of the data belongs to exactly one tensor.
void check_coverage(const MappedFile& file, const std::map<std::string, TensorInfo>& infos,
                    uint64_t data_begin) {
  std::vector<const std::pair<const std::string, TensorInfo>*> order;
  for (const auto& item : infos) order.push_back(&item);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t covered = data_begin;
  std::string before = "the header";
  for (const auto* item : order) {
    const auto& [name, info] = *item;
    if (info.begin < covered) fail(file.path(), ": ", name, " overlaps ", before);
    if (info.begin > covered) {
      fail(file.path(), ": ", info.begin - covered, " bytes before ", name, " belong to no tensor");
    }
    covered = info.end;
    before = name;
  }
  if (covered < file.size()) {
    fail(file.path(), ": ", file.size() - covered, " bytes after ", before, " belong to no tensor");
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(MappedFile::open(path)) {
  with_advice([this] { read_header(); });
}

void SafetensorsFile::read_header() {
  const auto text = header_text(*file_);
  const auto header = parse_header(file_->path(), text);
  const uint64_t data_begin = kLengthBytes + text.size();
  for (const auto& name : header.keys) {
    const auto& entry = header.value.at(name);
    if (name == "__metadata__") {
      metadata_ = read_metadata(file_->path(), entry);
      continue;
    }
    names_.push_back(name);
    infos_[name] =
        read_info(file_->path() + ": " + name, entry, data_begin, file_->size() - data_begin);
  }
  check_coverage(*file_, infos_, data_begin);
}

const TensorInfo& SafetensorsFile::info(const std::string& name) const {
  const auto found = infos_.find(name);
  if (found == infos_.end()) fail(file_->path(), ": holds no tensor '", name, "'");
  return found->second;
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const TensorInfo& entry = info(name);
  return with_context(file_->path() + ": " + name,
                      [&] { return tensor_over(file_, entry.begin, entry.shape, entry.dtype); });
}

bool SafetensorsFile::recognises(const MappedFile& file) {
  return file.size() > kLengthBytes && file.data()[kLengthBytes] == '{';
}

}  // namespace gear::io
