#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <type_traits>

#include "ops/adamw_kernels.h"
#include "ops/cpu/processor.h"

// Every tensor is cut into chunks, which the threads divide.

namespace gear::ops::cpu {
namespace {

constexpr int64_t kChunk = 16384;

/// Some values of one tensor.
template <class F>
struct Chunk {
  F* parameter;
  const F* gradient;
  F *exp_avg, *exp_avg_sq;
  F* average;  // or null
  int64_t count;
};

/// decay * average, rounded, plus rest * value.
template <bool fused, class F>
GEAR_ADAMW_INLINE F averaged(F average, F value, const AdamWFactors<F>& f) {
  const F kept = average * f.average;
  if constexpr (!fused) return kept + f.average_rest * value;
  if constexpr (std::is_same_v<F, float>) return __builtin_fmaf(f.average_rest, value, kept);
  return __builtin_fma(f.average_rest, value, kept);
}

template <bool fused, bool with_average, class F>
GEAR_ADAMW_INLINE void update(const Chunk<F>& c, const AdamWFactors<F>& f) {
#pragma omp simd
  for (int64_t i = 0; i < c.count; ++i) {
    const F value = adamw_value(f, c.parameter[i], c.gradient[i], c.exp_avg[i], c.exp_avg_sq[i]);
    c.parameter[i] = value;
    if constexpr (with_average) c.average[i] = averaged<fused>(c.average[i], value, f);
  }
}

template <bool fused, class F>
GEAR_ADAMW_INLINE void update_chunk(const Chunk<F>& c, const AdamWFactors<F>& f) {
  c.average != nullptr ? update<fused, true>(c, f) : update<fused, false>(c, f);
}

// A product and a sum in one rounding need a processor with vectors of eight floats.
template <class F>
GEAR_AVX2 void update_avx2(const Chunk<F>& c, const AdamWFactors<F>& f) {
  update_chunk<true>(c, f);
}
template <class F>
GEAR_AVX512 void update_avx512(const Chunk<F>& c, const AdamWFactors<F>& f) {
  update_chunk<true>(c, f);
}
template <class F>
void update_plain(const Chunk<F>& c, const AdamWFactors<F>& f) {
  update_chunk<false>(c, f);
}

template <class F>
auto code() {
  switch (vectors()) {
    case Vectors::kAvx512:
      return update_avx512<F>;
    case Vectors::kAvx2:
      return update_avx2<F>;
    case Vectors::kNone:
      return update_plain<F>;
  }
  TORCH_CHECK(false, "adamw_: unhandled vectors");
}

template <class F>
Chunk<F> chunk_of(const AdamWTensors& tensors, int64_t begin) {
  const auto values = [begin](const Tensor& t) { return t.mutable_data_ptr<F>() + begin; };
  return {.parameter = values(tensors.parameter),
          .gradient = tensors.gradient.const_data_ptr<F>() + begin,
          .exp_avg = values(tensors.exp_avg),
          .exp_avg_sq = values(tensors.exp_avg_sq),
          .average = tensors.average.defined() ? values(tensors.average) : nullptr,
          .count = std::min(kChunk, tensors.parameter.numel() - begin)};
}

struct Place {
  size_t tensor;
  int64_t begin;
};

std::vector<Place> chunks_of(const std::vector<AdamWTensors>& tensors) {
  std::vector<Place> places;
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (int64_t at = 0; at < tensors[i].parameter.numel(); at += kChunk) places.push_back({i, at});
  }
  return places;
}

template <class F>
void run(const std::vector<AdamWTensors>& tensors, const AdamWStep& step) {
  const double factor = step.gradient_factor.defined() ? step.gradient_factor.item<double>() : 1.0;
  const AdamWScalars scalars(step);
  std::vector<AdamWFactors<F>> factors;
  for (const AdamWTensors& each : tensors) {
    factors.push_back(adamw_factors<F>(scalars, factor, each.step.item<double>()));
  }
  const auto places = chunks_of(tensors);
  const auto update = code<F>();
  at::parallel_for(0, static_cast<int64_t>(places.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Place& at = places[static_cast<size_t>(i)];
      update(chunk_of<F>(tensors[at.tensor], at.begin), factors[at.tensor]);
    }
  });
}

}  // namespace

void adamw(const std::vector<AdamWTensors>& tensors, const AdamWStep& step) {
  AT_DISPATCH_FLOATING_TYPES(tensors.front().parameter.scalar_type(), "adamw_",
                             [&] { run<scalar_t>(tensors, step); });
}

}  // namespace gear::ops::cpu
