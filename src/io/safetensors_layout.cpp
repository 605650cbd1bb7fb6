#include "gear/io/safetensors_layout.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "gear/core/error.h"
#include "gear/io/mapped_file.h"
#include "io/safetensors_dtypes.h"

namespace gear::io {
namespace {

/// Indices of the tensors as their data stands in the file: falling element size.
std::vector<size_t> data_order(const std::vector<TensorOutline>& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return c10::elementSize(tensors[a].dtype) > c10::elementSize(tensors[b].dtype);
  });
  return order;
}

void check_names(const std::string& path, const std::vector<TensorOutline>& tensors) {
  std::set<std::string_view> seen;
  for (const TensorOutline& tensor : tensors) {
    if (tensor.name == "__metadata__") fail(path, ": a tensor must not be named __metadata__");
    if (!seen.insert(tensor.name).second) fail(path, ": two tensors are named ", tensor.name);
    if (safetensors_dtype_name(tensor.dtype).empty()) {
      fail(path, ": ", tensor.name, ": safetensors has no dtype for ", c10::toString(tensor.dtype));
    }
  }
}

/// The JSON header, padded with spaces so that the data starts at a multiple of eight.
///   begins  of each tensor, from the start of the data
std::string header_text(const std::vector<TensorOutline>& tensors,
                        const std::vector<uint64_t>& begins, const Metadata& metadata) {
  // Written entry by entry: an ordered JSON object would look every name up in a list.
  std::string text = "{";
  if (!metadata.empty()) text += "\"__metadata__\":" + nlohmann::json(metadata).dump();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorOutline& tensor = tensors[i];
    const nlohmann::json entry = {{"dtype", safetensors_dtype_name(tensor.dtype)},
                                  {"shape", tensor.shape},
                                  {"data_offsets", {begins[i], begins[i] + tensor.bytes()}}};
    if (text.size() > 1) text += ",";
    text += nlohmann::json(tensor.name).dump() + ":" + entry.dump();
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

uint64_t TensorOutline::bytes() const {
  const auto count = tensor_bytes(shape, dtype);
  TORCH_CHECK(count, "TensorOutline: the shape of ", name, " overflows 63 bits");
  return *count;
}

std::string safetensors_dtype_name(at::ScalarType dtype) {
  for (const auto& [name, known] : kSafetensorsDtypes) {
    if (known == dtype) return std::string(name);
  }
  return "";
}

SafetensorsLayout safetensors_layout(const std::string& path,
                                     const std::vector<TensorOutline>& tensors,
                                     const Metadata& metadata) {
  check_names(path, tensors);
  SafetensorsLayout layout;
  layout.begins.resize(tensors.size());
  for (const size_t index : data_order(tensors)) {
    layout.begins[index] = layout.bytes;
    layout.bytes += tensors[index].bytes();
  }
  const std::string header = header_text(tensors, layout.begins, metadata);
  const uint64_t length = header.size();
  layout.head.assign(reinterpret_cast<const char*>(&length), sizeof length);
  layout.head += header;
  for (uint64_t& begin : layout.begins) begin += layout.head.size();
  layout.bytes += layout.head.size();
  return layout;
}

}  // namespace gear::io
