#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "io/zip_builder.h"

namespace gear::io {

/// Pieces of pickles of protocol 2, as text of opcodes.
namespace pickled {

inline std::string text(const std::string& value) {
  std::string code = "X";
  append_number(code, value.size(), 4);
  return code + value;
}

inline std::string integer(int32_t value) {
  std::string code = "J";
  append_number(code, static_cast<uint32_t>(value), 4);
  return code;
}

inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string tuple(const std::vector<int32_t>& values) {
  std::string code = "(";
  for (const int32_t value : values) code += integer(value);
  return code + "t";
}

inline std::string storage(const std::string& key, int32_t count,
                           const std::string& type = "FloatStorage", const std::string& more = "") {
  return "(" + text("storage") + global("torch", type) + text(key) + text("cpu") + integer(count) +
         more + "tQ";
}

inline std::string tensor(const std::string& storage, const std::vector<int32_t>& sizes,
                          const std::vector<int32_t>& strides, int32_t offset = 0) {
  return global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + integer(offset) +
         tuple(sizes) + tuple(strides) + "\x89" + global("collections", "OrderedDict") + ")RtR";
}

inline std::string dict(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string code = "}(";
  for (const auto& [key, value] : entries) code += text(key) + value;
  return code + "u";
}

inline std::string whole(const std::string& body) { return "\x80\x02" + body + "."; }

}  // namespace pickled

inline std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// A file of torch.save whose value is `body` and whose storage "0" holds 0, 1, ... 9.
inline std::string torch_zip(const std::string& body) {
  return stored_zip({{"archive/data.pkl", pickled::whole(body)},
                     {"archive/byteorder", "little"},
                     {"archive/data/0", floats({0, 1, 2, 3, 4, 5, 6, 7, 8, 9})},
                     {"archive/version", "3\n"}});
}

/// The pickles of a file before PyTorch 1.6 that has the storages `keys`, whose data follow them.
inline std::string legacy_pickles(const std::string& body, const std::vector<std::string>& keys) {
  const std::string magic = std::string("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
  std::string list = "]";
  for (const auto& key : keys) list += pickled::text(key) + "a";
  return pickled::whole(magic) + pickled::whole(pickled::integer(1001)) +
         pickled::whole(pickled::dict({{"little_endian", "\x88"}})) + pickled::whole(body) +
         pickled::whole(list);
}

/// The same as torch_zip in the format before PyTorch 1.6, which lists the storages in use.
inline std::string torch_legacy(const std::string& body) {
  if (body.find(pickled::text("storage")) == std::string::npos) return legacy_pickles(body, {});
  std::string file = legacy_pickles(body, {"0"});
  append_number(file, 10, 8);
  return file + floats({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

}  // namespace gear::io
