#include <algorithm>
#include <numeric>

#include "gear/io/atomic.h"
#include "gear/io/safetensors.h"
#include "gear/io/safetensors_layout.h"

namespace gear::io {
namespace {

std::vector<TensorOutline> outlines_of(const NamedTensors& tensors) {
  std::vector<TensorOutline> outlines;
  for (const auto& [name, tensor] : tensors) {
    TORCH_CHECK(tensor.defined(), "write_safetensors: ", name, " is undefined");
    outlines.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
  }
  return outlines;
}

/// Indices of the tensors as their data stands in the file.
std::vector<size_t> order_in_file(const std::vector<uint64_t>& begins) {
  std::vector<size_t> order(begins.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return begins[a] < begins[b]; });
  return order;
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata) {
  const auto layout = safetensors_layout(path.string(), outlines_of(tensors), metadata);
  write_file_atomically(path, [&](FileWriter& file) {
    file.write(layout.head);
    for (const size_t index : order_in_file(layout.begins)) {
      // Conjugated or negated views keep other bytes than their values.
      const auto values = tensors[index].second.detach().resolve_conj().resolve_neg();
      const auto data = values.to(at::kCPU).contiguous();
      file.write(data.const_data_ptr(), data.nbytes());
    }
  });
}

}  // namespace gear::io
