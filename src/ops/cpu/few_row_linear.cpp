#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cpu/panels.h"
#include "ops/cpu/vector_math.h"
#include "ops/cpu/weight_layout.h"
#include "ops/few_row_linear_kernels.h"

// R rows, K inputs, N outputs

namespace gear::ops {
namespace {

using namespace cpu;  // NOLINT: the kernels' own names

/// The weights of one slab after the other.
class Slabs {
 public:
  explicit Slabs(const StoredWeight& weight)
      : weight_(weight),
        values_(static_cast<const char*>(weight.values.const_data_ptr())),
        bytes_(static_cast<int64_t>(weight.values.nbytes()) / count()) {}

  int64_t count() const { return divide_up(weight_.outputs, kSlabOutputs); }
  /// Outputs of slab `index`; the last one may have fewer.
  int64_t outputs(int64_t index) const {
    return std::min<int64_t>(kSlabOutputs, weight_.outputs - index * kSlabOutputs);
  }

  /// tile [rows, kSlabOutputs]
  void multiply(int64_t index, const RowBlock& rows, float* tile) const {
    const char* slab = values_ + index * bytes_;
    switch (weight_.format) {
      case WeightFormat::kFloat32:
        return multiply_slab<Float32Panel>(slab, rows, tile);
      case WeightFormat::kBfloat16:
        return multiply_slab<Bfloat16Panel>(slab, rows, tile);
      case WeightFormat::kInt8:
        multiply_slab<Int8Panel>(slab, rows, tile);
        return scale(index, rows.count, tile);
    }
  }

 private:
  void scale(int64_t index, int64_t rows, float* tile) const {
    const float* scales = weight_.scales.const_data_ptr<float>() + index * kSlabOutputs;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t n = 0; n < outputs(index); ++n) {
        tile[r * kSlabOutputs + n] *= scales[n] / Int8Panel::kUnit;
      }
    }
  }

  const StoredWeight& weight_;
  const char* values_;
  int64_t bytes_;  // of a slab
};

RowBlock rows_of(const Tensor& x) { return {x.const_data_ptr<float>(), x.size(0), x.size(1)}; }

/// Calls body(slab, tiles) for every slab with room for so many tiles [R, kSlabOutputs].
template <class Body>
void for_each_slab(int64_t slabs, int64_t tile_values, const Body& body) {
  at::parallel_for(0, slabs, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    std::vector<float> tiles(static_cast<size_t>(tile_values));
    for (int64_t slab = begin; slab < end; ++slab) body(slab, tiles.data());
  });
}

void linear(const Tensor& x, const StoredWeight& weight, const Tensor& out, Into into) {
  const Slabs slabs(weight);
  const auto rows = rows_of(x);
  float* results = out.mutable_data_ptr<float>();
  for_each_slab(slabs.count(), rows.count * kSlabOutputs, [&](int64_t slab, float* tile) {
    slabs.multiply(slab, rows, tile);
    for (int64_t r = 0; r < rows.count; ++r) {
      float* to = results + r * weight.outputs + slab * kSlabOutputs;
      const float* from = tile + r * kSlabOutputs;
      const int64_t count = slabs.outputs(slab);
      if (into == Into::kAdd) {
        for (int64_t n = 0; n < count; ++n) to[n] += from[n];
      } else {
        std::copy(from, from + count, to);
      }
    }
  });
}

/// gate = silu(gate) * up
GEAR_VECTOR_CLONES void apply_gate(float* gate, const float* up, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) gate[i] *= sigmoid(gate[i]) * up[i];
}

void swiglu(const Tensor& x, const StoredWeight& gate, const StoredWeight& up, const Tensor& out) {
  const Slabs gates(gate), ups(up);
  const auto rows = rows_of(x);
  const int64_t size = rows.count * kSlabOutputs;
  float* results = out.mutable_data_ptr<float>();
  for_each_slab(gates.count(), 2 * size, [&](int64_t slab, float* tiles) {
    gates.multiply(slab, rows, tiles);
    ups.multiply(slab, rows, tiles + size);
    apply_gate(tiles, tiles + size, size);
    for (int64_t r = 0; r < rows.count; ++r) {
      std::copy_n(tiles + r * kSlabOutputs, gates.outputs(slab),
                  results + r * gate.outputs + slab * kSlabOutputs);
    }
  });
}

GEAR_VECTOR_CLONES float sum_of_squares(const float* x, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < count; ++k) sum += x[k] * x[k];
  return sum;
}

GEAR_VECTOR_CLONES void scaled(const float* x, const float* weight, float factor, int64_t count,
                               float* out) {
#pragma omp simd
  for (int64_t k = 0; k < count; ++k) out[k] = x[k] * factor * weight[k];
}

void rms_norm(const Tensor& x, const Tensor& weight, double eps, const Tensor& out) {
  constexpr int64_t kRowsOfAThread = 16;  // fewer take less time than waking another
  const int64_t width = x.size(1);
  const float* values = x.const_data_ptr<float>();
  float* results = out.mutable_data_ptr<float>();
  at::parallel_for(0, x.size(0), kRowsOfAThread, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float mean = sum_of_squares(values + r * width, width) / static_cast<float>(width);
      scaled(values + r * width, weight.const_data_ptr<float>(),
             1.0F / std::sqrt(mean + static_cast<float>(eps)), width, results + r * width);
    }
  });
}

}  // namespace

const FewRowKernels kCpuFewRow = {.arranged = arranged,
                                  .lay_out = place_together,
                                  .linear = linear,
                                  .swiglu = swiglu,
                                  .rms_norm = rms_norm};

}  // namespace gear::ops
