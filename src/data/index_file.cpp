#include "gear/data/index_file.h"

#include <ATen/ops/from_blob.h>

#include <charconv>
#include <cstring>

#include "gear/core/error.h"
#include "gear/io/safetensors.h"

namespace gear::data {
namespace {

const std::string kFormat = "gear indices 1";

/// Names may hold any byte but zero.
Tensor to_bytes(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(name).push_back('\0');
  return at::from_blob(text.data(), {static_cast<int64_t>(text.size())}, at::kByte).clone();
}

std::vector<std::string> from_bytes(const Tensor& bytes) {
  const auto* text = reinterpret_cast<const char*>(bytes.const_data_ptr<uint8_t>());
  const auto* end = text + bytes.numel();
  std::vector<std::string> names;
  while (text != end) {
    const auto* stop =
        static_cast<const char*>(std::memchr(text, 0, static_cast<size_t>(end - text)));
    if (stop == nullptr) stop = end;
    names.emplace_back(text, stop);
    text = stop == end ? end : stop + 1;
  }
  return names;
}

at::ScalarType smallest_type(int64_t codebook_size) {
  if (codebook_size <= 256) return at::kByte;
  return codebook_size <= 32768 ? at::kShort : at::kInt;
}

/// Ends what is said of a file that gear encode has not written like this.
constexpr const char* kDamaged = "; the file is damaged, encode the pictures again";

/// Reads one file and knows its name for messages.
class FileReader {
 public:
  explicit FileReader(const std::filesystem::path& path) : path_(path.string()), file_(path) {
    if (file_.metadata().contains("format") && text("format") == kFormat) return;
    fail(path_, ": is no file of indices; expected one that gear encode wrote",
         file_.metadata().contains("format") ? " (format \"" + kFormat + "\")" : "");
  }

  IndexInfo info() const {
    return {.image_size = number("image_size"),
            .grid = number("grid"),
            .codebook_size = number("codebook_size"),
            .tokenizer_sha256 = text("tokenizer_sha256"),
            .pictures_sha256 = text("pictures_sha256"),
            .classes = from_bytes(tensor("classes", at::kByte, 1)),
            .mirrored = file_.contains("mirrored_indices"),
            .files = number("files")};
  }

  int64_t number(const std::string& key) const {
    const std::string digits = text(key);
    int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value < 0) {
      fail(path_, ": metadata ", key, ": expected a number, got ", digits, kDamaged);
    }
    return value;
  }

  Tensor tensor(const std::string& name, at::ScalarType type, int64_t dimensions) const {
    const Tensor found = tensor(name);
    if (found.scalar_type() != type || found.dim() != dimensions) {
      fail(path_, ": ", name, ": expected ", dimensions, " dimensions of ", at::toString(type),
           ", got ", sizes_string(found.sizes()), " of ", at::toString(found.scalar_type()),
           kDamaged);
    }
    return found;
  }

  Tensor indices(const std::string& name, at::IntArrayRef sizes) const {
    const Tensor found = tensor(name);
    if (!at::isIntegralType(found.scalar_type(), /*includeBool=*/false)) {
      fail(path_, ": ", name, ": expected integers, got ", at::toString(found.scalar_type()),
           kDamaged);
    }
    if (found.sizes() != sizes) {
      fail(path_, ": ", name, ": expected ", sizes_string(sizes), ", got ",
           sizes_string(found.sizes()), kDamaged);
    }
    return found;
  }

 private:
  Tensor tensor(const std::string& name) const {
    if (!file_.contains(name)) fail(path_, ": has no tensor ", name, kDamaged);
    return file_.tensor(name);
  }
  std::string text(const std::string& key) const {
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end()) {
      fail(path_, ": has no metadata ", key, kDamaged);
    }
    return found->second;
  }

  std::string path_;
  io::SafetensorsFile file_;
};

void check(const IndexFile& file, const std::string& path) {
  const auto count = static_cast<int64_t>(file.names.size());
  if (count != file.labels.size(0)) {
    fail(path, ": has ", count, " names for ", file.labels.size(0), " labels", kDamaged);
  }
  if (file.number >= file.info.files) {
    fail(path, ": is file ", file.number, " of a set of ", file.info.files, ", counted from 0",
         kDamaged);
  }
  const auto classes = static_cast<int64_t>(file.info.classes.size());
  if (count == 0) return;
  const auto least = file.labels.min().item<int64_t>();
  const auto most = file.labels.max().item<int64_t>();
  if (least < 0 || most >= classes) {
    fail(path, ": labels: ", least < 0 ? least : most, " is not the number of one of its ", classes,
         " classes", kDamaged);
  }
}

}  // namespace

void write_index_file(const std::filesystem::path& path, const IndexFile& file) {
  const IndexInfo& info = file.info;
  const auto type = smallest_type(info.codebook_size);
  io::NamedTensors tensors = {{"indices", file.indices.to(type)}};
  if (info.mirrored) tensors.emplace_back("mirrored_indices", file.mirrored.to(type));
  tensors.emplace_back("labels", file.labels);
  tensors.emplace_back("names", to_bytes(file.names));
  tensors.emplace_back("classes", to_bytes(info.classes));
  io::write_safetensors(path, tensors,
                        {{"format", kFormat},
                         {"image_size", std::to_string(info.image_size)},
                         {"grid", std::to_string(info.grid)},
                         {"codebook_size", std::to_string(info.codebook_size)},
                         {"tokenizer_sha256", info.tokenizer_sha256},
                         {"pictures_sha256", info.pictures_sha256},
                         {"file", std::to_string(file.number)},
                         {"files", std::to_string(info.files)}});
}

IndexFile read_index_file(const std::filesystem::path& path) {
  const FileReader reader(path);
  IndexFile file{.info = reader.info(), .number = reader.number("file")};
  file.labels = reader.tensor("labels", at::kLong, 1);
  const std::vector<int64_t> sizes = {file.labels.size(0), file.info.grid * file.info.grid};
  file.indices = reader.indices("indices", sizes);
  if (file.info.mirrored) file.mirrored = reader.indices("mirrored_indices", sizes);
  file.names = from_bytes(reader.tensor("names", at::kByte, 1));
  check(file, path.string());
  return file;
}

}  // namespace gear::data
