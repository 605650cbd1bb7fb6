#include "io/torch_storages.h"

#include <ATen/ops/as_strided.h>

#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "gear/io/mapped_file.h"
#include "io/torch_dtypes.h"

namespace gear::io {
namespace {

using Kind = PickleValue::Kind;

constexpr int64_t kMaxExpanded = int64_t{1} << 28;  // elements of a tensor with strides of zero

at::ScalarType storage_dtype(const PickleValue& type) {
  for (const auto& [name, dtype] : kStorageTypes) {
    if (type.is(Kind::kGlobal) && type.text == name) return dtype;
  }
  fail("a storage has ", describe(type), " for its type, which this reader does not know");
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

struct View {
  std::vector<int64_t> sizes, strides;
  int64_t offset = 0;
};

/// Throws unless the view is of these elements, all products taken without overflow.
void check_view(const View& view, int64_t available) {
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
  fail("a tensor has ", describe(dtype), " for its dtype, which this reader does not know");
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
  entries_[key] = {value, dtype, count};
  return value;
}

at::Tensor storage_over(const std::shared_ptr<const MappedFile>& file, size_t offset,
                        const StorageEntry& entry) {
  constexpr uintptr_t kWidest = 8;  // bytes, of kUntypedDtypes
  const auto storage = tensor_over(file, offset, {entry.count}, entry.dtype);
  const bool aligned = reinterpret_cast<uintptr_t>(storage.const_data_ptr()) % kWidest == 0;
  return entry.dtype != at::kByte || aligned ? storage : storage.clone();
}

void build_tensor(PickleValue& value) {
  const auto& arguments = value.items;  // storage, offset, size, stride, ...
  if (arguments.size() < 4 || !arguments[0]->is(Kind::kStorage) || !arguments[1]->is(Kind::kInt)) {
    fail("a tensor is built from something that is not a storage with offset, sizes and strides");
  }
  at::Tensor storage = arguments[0]->tensor;
  if (value.text == "torch._utils._rebuild_tensor_v3") {
    if (arguments.size() < 7 || storage.scalar_type() != at::kByte) {
      fail("a tensor of an untyped storage lacks its dtype");
    }
    const auto dtype = untyped_dtype(*arguments[6]);
    const auto width = static_cast<int64_t>(c10::elementSize(dtype));
    storage = storage.narrow(0, 0, storage.numel() / width * width).view(dtype);
  }
  const View view{integers(*arguments[2], "sizes"), integers(*arguments[3], "strides"),
                  arguments[1]->integer};
  if (view.offset < 0) fail("a tensor has the offset ", view.offset);
  check_view(view, storage.numel());
  value.tensor = at::as_strided(storage, view.sizes, view.strides, view.offset);
}

}  // namespace gear::io
