#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace gear::io {

class MappedFile;

/// One tensor of a safetensors header; `begin` and `end` are bytes from the start of the file.
struct TensorInfo {
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;
using Metadata = std::map<std::string, std::string>;

/// A safetensors file (https://github.com/huggingface/safetensors, "Format"): eight bytes of header
/// length, a JSON header, then the data. The constructor checks the whole header: every tensor lies
/// in the file, has as many bytes as shape and dtype say, and together they cover the data without
/// overlap or hole. A file that breaks a rule is an Error naming the file and the tensor.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::vector<std::string>& names() const { return names_; }  ///< in the order of the header
  bool contains(const std::string& name) const { return infos_.contains(name); }
  const TensorInfo& info(const std::string& name) const;

  /// A CPU tensor over the mapped file (copy-on-write: changing it changes neither the file nor
  /// another process). It keeps the mapping alive. clone() it if the file may be overwritten in
  /// place. A tensor whose bytes are not aligned for its dtype is copied.
  at::Tensor tensor(const std::string& name) const;

  const Metadata& metadata() const { return metadata_; }

  /// Whether the bytes look like such a file: '{' follows the length. Ask before other formats: the
  /// bytes of the length may look like theirs.
  static bool recognises(const MappedFile& file);

 private:
  void read_header();

  std::shared_ptr<const MappedFile> file_;
  std::vector<std::string> names_;
  std::map<std::string, TensorInfo> infos_;
  Metadata metadata_;
};

/// Writes `tensors` whole or not at all (written beside `path`, synced, renamed). The header lists
/// them in the given order; the data stands by falling element size, so that every tensor is
/// aligned. Tensors are written one after the other without a second copy of the whole; one that
/// is not contiguous or not on the CPU is copied alone.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata = {});

/// The safetensors name of a dtype ("F32"), or "" when the format has none.
std::string safetensors_dtype_name(at::ScalarType dtype);

}  // namespace gear::io
