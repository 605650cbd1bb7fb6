#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "gear/core/error.h"
#include "gear/io/atomic.h"
#include "gear/io/safetensors.h"
#include "io/safetensors_dtypes.h"

namespace gear::io {
namespace {

/// Indices of the tensors as their data stands in the file: falling element size.
std::vector<size_t> data_order(const NamedTensors& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return tensors[a].second.element_size() > tensors[b].second.element_size();
  });
  return order;
}

void check_names(const std::string& path, const NamedTensors& tensors) {
  std::set<std::string_view> seen;
  for (const auto& [name, tensor] : tensors) {
    TORCH_CHECK(tensor.defined(), "write_safetensors: ", name, " is undefined");
    if (name == "__metadata__") fail(path, ": a tensor must not be named __metadata__");
    if (!seen.insert(name).second) fail(path, ": two tensors are named ", name);
    if (safetensors_dtype_name(tensor.scalar_type()).empty()) {
      fail(path, ": ", name, ": safetensors has no dtype for ",
           c10::toString(tensor.scalar_type()));
    }
  }
}

/// The JSON header, padded with spaces so that the data starts at a multiple of eight.
std::string header_text(const NamedTensors& tensors, const std::vector<size_t>& order,
                        const Metadata& metadata) {
  std::vector<uint64_t> begins(tensors.size());
  uint64_t position = 0;
  for (const size_t index : order) {
    begins[index] = position;
    position += tensors[index].second.nbytes();
  }
  // Written entry by entry: an ordered JSON object would look every name up in a list.
  std::string text = "{";
  if (!metadata.empty()) text += "\"__metadata__\":" + nlohmann::json(metadata).dump();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    const nlohmann::json entry{{"dtype", safetensors_dtype_name(tensor.scalar_type())},
                               {"shape", tensor.sizes().vec()},
                               {"data_offsets", {begins[i], begins[i] + tensor.nbytes()}}};
    if (text.size() > 1) text += ",";
    text += nlohmann::json(name).dump() + ":" + entry.dump();
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

std::string safetensors_dtype_name(at::ScalarType dtype) {
  for (const auto& [name, known] : kSafetensorsDtypes) {
    if (known == dtype) return std::string(name);
  }
  return "";
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata) {
  check_names(path.string(), tensors);
  const auto order = data_order(tensors);
  const auto header = header_text(tensors, order, metadata);
  write_file_atomically(path, [&](FileWriter& file) {
    const uint64_t length = header.size();
    file.write(&length, sizeof length);
    file.write(header);
    for (const size_t index : order) {
      // Conjugated or negated views keep other bytes than their values.
      const auto values = tensors[index].second.detach().resolve_conj().resolve_neg();
      const auto data = values.to(at::kCPU).contiguous();
      file.write(data.const_data_ptr(), data.nbytes());
    }
  });
}

}  // namespace gear::io
