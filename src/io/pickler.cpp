#include "io/pickler.h"

#include <ATen/ops/empty.h>

#include <bit>
#include <limits>
#include <optional>

#include "gear/core/error.h"
#include "io/torch_dtypes.h"

// The opcodes are listed with their meaning in CPython's Lib/pickletools.py.

namespace gear::io {
namespace {

constexpr char kInt8 = 'K', kInt16 = 'M', kInt32 = 'J', kLong1 = '\x8a';
constexpr char kBuild = 'R', kPersistentId = 'Q', kMark = '(', kTuple = 't';
const std::string kStart = "\x80\x02", kNone = "N", kTrue = "\x88", kFalse = "\x89";

template <class... Actions>
struct Overloaded : Actions... {
  using Actions::operator()...;
};
template <class... Actions>
Overloaded(Actions...) -> Overloaded<Actions...>;

void append_bytes(std::string& text, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) text += static_cast<char>((value >> (8 * i)) & 0xFF);
}

/// "torch.FloatStorage", or nothing for a dtype without a storage type of its own.
std::optional<std::string_view> storage_type(at::ScalarType dtype) {
  for (const auto& [name, known] : kStorageTypes) {
    if (known == dtype) return name;
  }
  return std::nullopt;
}

std::string_view untyped_name(at::ScalarType dtype) {
  for (const auto& [name, known] : kUntypedDtypes) {
    if (known == dtype) return name;
  }
  fail("torch.save has no name here for elements of type ", c10::toString(dtype));
}

/// The tensor as it can be described by a storage: its own, or that of a copy of its values.
at::Tensor over_plain_storage(const at::Tensor& tensor) {
  if (tensor.layout() != at::kStrided || tensor.is_quantized() || tensor.is_meta()) {
    fail("a ", tensor.toString(), " has no plain storage; write a dense copy of it");
  }
  const at::Tensor values = tensor.detach().resolve_conj().resolve_neg();
  return values.is_cpu() ? values : values.contiguous();
}

}  // namespace

void TorchValue::Dict::set(TorchValue key, TorchValue value) {
  entries.emplace_back(std::move(key), std::move(value));
}

std::string Pickler::pickle(const TorchValue& root) {
  bytes_ = kStart;
  write(root);
  return std::move(bytes_) + ".";
}

void Pickler::write(const TorchValue& value) {
  std::visit(Overloaded{
                 [&](std::monostate) { bytes_ += kNone; },
                 [&](bool flag) { bytes_ += flag ? kTrue : kFalse; },
                 [&](int64_t integer) { write_int(integer); },
                 [&](double real) { write_float(real); },
                 [&](const std::string& text) { write_text(text); },
                 [&](const TorchValue::List& list) { write_list(list.items); },
                 [&](const TorchValue::Tuple& tuple) { write_tuple(tuple.items); },
                 [&](const TorchValue::Dict& dict) { write_dict(dict); },
                 [&](const at::Tensor& tensor) { write_tensor(tensor); },
             },
             value.data());
}

void Pickler::write_int(int64_t value) {
  if (value >= 0 && value <= std::numeric_limits<uint8_t>::max()) {
    bytes_ += kInt8;
    append_bytes(bytes_, static_cast<uint64_t>(value), 1);
  } else if (value >= 0 && value <= std::numeric_limits<uint16_t>::max()) {
    bytes_ += kInt16;
    append_bytes(bytes_, static_cast<uint64_t>(value), 2);
  } else if (value == static_cast<int32_t>(value)) {
    bytes_ += kInt32;
    append_bytes(bytes_, static_cast<uint64_t>(value), 4);
  } else {
    bytes_ += kLong1;
    append_bytes(bytes_, sizeof value, 1);
    append_bytes(bytes_, static_cast<uint64_t>(value), sizeof value);
  }
}

void Pickler::write_float(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  bytes_ += 'G';
  for (int byte = 7; byte >= 0; --byte) append_bytes(bytes_, bits >> (8 * byte), 1);  // big-endian
}

void Pickler::write_text(const std::string& text) {
  TORCH_CHECK(text.size() <= std::numeric_limits<uint32_t>::max(), "Pickler: a text of ",
              text.size(), " bytes");
  bytes_ += 'X';
  append_bytes(bytes_, text.size(), 4);
  bytes_ += text;
}

void Pickler::write_dict(const TorchValue::Dict& dict) {
  bytes_ += '}';
  if (dict.entries.empty()) return;
  bytes_ += kMark;
  for (const auto& entry : dict.entries) {
    write(entry.first);
    const auto* name = std::get_if<std::string>(&entry.first.data());
    if (name == nullptr) {
      write(entry.second);
    } else {
      with_context(*name, [&] { write(entry.second); });
    }
  }
  bytes_ += 'u';
}

void Pickler::write_list(const std::vector<TorchValue>& items) {
  bytes_ += ']';
  if (items.empty()) return;
  bytes_ += kMark;
  for (const TorchValue& item : items) write(item);
  bytes_ += 'e';
}

void Pickler::write_tuple(const std::vector<TorchValue>& items) {
  bytes_ += kMark;
  for (const TorchValue& item : items) write(item);
  bytes_ += kTuple;
}

void Pickler::write_sizes(at::IntArrayRef sizes) {
  bytes_ += kMark;
  for (const int64_t size : sizes) write_int(size);
  bytes_ += kTuple;
}

void Pickler::write_global(const std::string& module, const std::string& name) {
  bytes_ += "c" + module + "\n" + name + "\n";
}

/// _rebuild_tensor_v2(storage, offset, sizes, strides, requires_grad=False, hooks=OrderedDict()),
/// or _rebuild_tensor_v3 with the dtype at the end, over a storage of bytes.
void Pickler::write_tensor(const at::Tensor& original) {
  const at::Tensor tensor = over_plain_storage(original);
  const auto type = storage_type(tensor.scalar_type());
  const std::string key = key_of(tensor);
  const auto bytes = static_cast<int64_t>(tensor.storage().nbytes());
  write_global("torch._utils", type ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
  bytes_ += kMark;
  if (type) {
    write_storage(std::string(*type), key, bytes / static_cast<int64_t>(tensor.element_size()));
  } else {
    write_storage("torch.storage.UntypedStorage", key, bytes);
  }
  write_int(tensor.storage_offset());
  write_sizes(tensor.sizes());
  write_sizes(tensor.strides());
  bytes_ += kFalse;
  write_global("collections", "OrderedDict");
  bytes_ += std::string(")") + kBuild;
  if (!type) {
    const std::string name(untyped_name(tensor.scalar_type()));
    write_global("torch", name.substr(name.find('.') + 1));
  }
  bytes_ += std::string{kTuple, kBuild};
}

/// ("storage", type, key, location, count) as a persistent id.
void Pickler::write_storage(const std::string& type, const std::string& key, int64_t count) {
  bytes_ += kMark;
  write_text("storage");
  const size_t dot = type.rfind('.');
  write_global(type.substr(0, dot), type.substr(dot + 1));
  write_text(key);
  write_text("cpu");
  write_int(count);
  bytes_ += std::string{kTuple, kPersistentId};
}

std::string Pickler::key_of(const at::Tensor& tensor) {
  const auto identity = std::pair<const void*, at::ScalarType>(
      tensor.storage().unsafeGetStorageImpl(), tensor.scalar_type());
  const auto known = keys_.find(identity);
  if (known != keys_.end()) return known->second;
  const std::string key = std::to_string(storages_.size());
  const auto options = at::TensorOptions().dtype(at::kByte).device(tensor.device());
  storages_.push_back(
      at::empty({0}, options)
          .set_(tensor.storage(), 0, {static_cast<int64_t>(tensor.storage().nbytes())}, {1}));
  keys_.emplace(identity, key);
  return key;
}

}  // namespace gear::io
