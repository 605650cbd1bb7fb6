#include "io/torch_storages.h"

#include <ATen/ops/as_strided.h>

#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "gear/io/mapped_file.h"
#include "io/torch_dtypes.h"

namespace gear::io {
namespace {

using Kind = PickleValue::Kind;

constexpr const char* kPlainTensors = "; save plain tensors of float32, float16 or bfloat16";
constexpr int64_t kMaxExpanded = int64_t{1} << 28;  // elements of a tensor with strides of zero

at::ScalarType storage_dtype(const PickleValue& type) {
  for (const auto& [name, dtype] : kStorageTypes) {
    if (type.is(Kind::kGlobal) && type.text == name) return dtype;
  }
  fail("a storage has ", describe(type), " for its type, which this reader does not know",
       kPlainTensors);
}

std::vector<int64_t> integers(const PickleValue& tuple, const char* what) {
  if (!tuple.is(Kind::kTuple) && !tuple.is(Kind::kList)) {
    fail("a tensor has ", describe(tuple), " for its ", what);
  }
  if (tuple.items.size() > kMaxDims) fail("a tensor has more than ", kMaxDims, " dimensions");
  std::vector<int64_t> values;
  for (const PickleValue* item : tuple.items) {
    if (!item->is(Kind::kInt)) fail("a tensor has ", describe(*item), " in its ", what);
    if (item->integer < 0) fail("a tensor has ", item->integer, " in its ", what);
    values.push_back(item->integer);
  }
  return values;
}

/// Throws unless the view is of these elements, all products taken without overflow.
void check_view(const StorageView& view, int64_t available) {
  if (view.sizes.size() != view.strides.size()) {
    fail("a tensor has ", view.sizes.size(), " sizes and ", view.strides.size(), " strides");
  }
  const auto elements = tensor_bytes(view.sizes, at::kByte);
  const auto count = static_cast<int64_t>(elements.value_or(0));
  int64_t last = view.offset;
  bool overflow = !elements;
  for (size_t i = 0; i < view.sizes.size() && !overflow && count > 0; ++i) {
    int64_t reach = 0;
    overflow = __builtin_mul_overflow(view.sizes[i] - 1, view.strides[i], &reach) ||
               __builtin_add_overflow(last, reach, &last);
  }
  if (overflow) fail("a tensor of sizes ", sizes_string(view.sizes), " overflows 63 bits");
  if (count > 0 ? last >= available : view.offset > available) {
    fail("a tensor of sizes ", sizes_string(view.sizes), ", strides ", sizes_string(view.strides),
         " and offset ", view.offset, " leaves its storage of ", available, " elements");
  }
  if (count > available && count > kMaxExpanded) {
    fail("a tensor of sizes ", sizes_string(view.sizes), " expands ", available, " elements");
  }
}

at::ScalarType untyped_dtype(const PickleValue& dtype) {
  for (const auto& [name, known] : kUntypedDtypes) {
    if (dtype.is(Kind::kGlobal) && dtype.text == name) return known;
  }
  fail("a tensor has ", describe(dtype), " for its dtype, which this reader does not know",
       kPlainTensors);
}

std::function<at::Tensor()> values_of(const StorageEntry& storage, at::ScalarType dtype,
                                      const StorageView& view) {
  if (storage.unaligned != nullptr) {
    return [unaligned = storage.unaligned, dtype, view] { return unaligned->tensor(dtype, view); };
  }
  at::Tensor elements = storage.elements;
  if (dtype != storage.dtype) {
    const auto width = static_cast<int64_t>(c10::elementSize(dtype));
    elements = elements.narrow(0, 0, storage.count / width * width).view(dtype);
  }
  return
      [tensor = at::as_strided(elements, view.sizes, view.strides, view.offset)] { return tensor; };
}

}  // namespace

PickleValue* StorageTable::add(const PickleValue& id) {
  const auto& parts = id.items;
  if (!id.is(Kind::kTuple) || parts.size() < 5 || !parts[0]->is(Kind::kString) ||
      parts[0]->text != "storage" || !parts[2]->is(Kind::kString) || !parts[4]->is(Kind::kInt)) {
    fail("a persistent id is not that of a storage");
  }
  if (parts.size() > 5 && !parts[5]->is(Kind::kNone)) {
    fail("a storage is a view of another one, a layout that PyTorch left before 0.4");
  }
  const std::string& key = parts[2]->text;
  const at::ScalarType dtype = storage_dtype(*parts[1]);
  const int64_t count = parts[4]->integer;
  const auto width = static_cast<int64_t>(c10::elementSize(dtype));
  if (count < 0 || count > INT64_MAX / width) fail("storage ", key, " has ", count, " elements");
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    if (found->second.dtype != dtype || found->second.count != count) {
      fail("storage ", key, " is described in two ways");
    }
    return found->second.value;
  }
  PickleValue* value = tree_.add(Kind::kStorage);
  value->text = key;
  entries_[key] = {.value = value, .dtype = dtype, .count = count};
  return value;
}

void StorageTable::build(PickleValue& value) const {
  const auto& arguments = value.items;  // storage, offset, size, stride, ...
  if (arguments.size() < 4 || !arguments[0]->is(Kind::kStorage) || !arguments[1]->is(Kind::kInt)) {
    fail("a tensor is built from something that is not a storage with offset, sizes and strides");
  }
  const StorageEntry& storage = entries_.at(arguments[0]->text);
  at::ScalarType dtype = storage.dtype;
  if (value.text == "torch._utils._rebuild_tensor_v3") {
    if (arguments.size() < 7 || storage.dtype != at::kByte) {
      fail("a tensor of an untyped storage lacks its dtype");
    }
    dtype = untyped_dtype(*arguments[6]);
  }
  const StorageView view{integers(*arguments[2], "sizes"), integers(*arguments[3], "strides"),
                         arguments[1]->integer};
  if (view.offset < 0) fail("a tensor has the offset ", view.offset);
  check_view(view, storage.bytes() / static_cast<int64_t>(c10::elementSize(dtype)));
  value.tensor = std::make_shared<PickledTensor>(
      PickledTensor{view.sizes, dtype, values_of(storage, dtype, view)});
}

void place_storage(StorageEntry& entry, const std::shared_ptr<const MappedFile>& file,
                   size_t begin) {
  constexpr size_t kWidest = 8;  // bytes, of kUntypedDtypes, as which a tensor may read plain bytes
  const size_t alignment = entry.dtype == at::kByte ? kWidest : c10::elementSize(entry.dtype);
  const bool aligned = reinterpret_cast<uintptr_t>(file->data() + begin) % alignment == 0;
  if (aligned || entry.count == 0) {
    entry.elements = tensor_over(file, begin, {entry.count}, entry.dtype);
  } else {
    entry.unaligned =
        std::make_shared<UnalignedStorage>(file, begin, static_cast<size_t>(entry.bytes()));
  }
}

}  // namespace gear::io
