// Group normalisation with SiLU at three widths of the VQ-16 tokenizer at 256 pixels,
// channels-last: ops::group_norm beside at::silu(at::group_norm). bytes_per_second counts the least
// traffic of each map: read x, write y; backward: read x and the gradient twice, write the gradient
// of x.

#include <ATen/ops/group_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include "gear/ops/group_norm.h"

namespace gear::ops {
namespace {

constexpr int64_t kBatch = 2;
constexpr int64_t kGroups = 32;
constexpr double kEps = 1e-6;

Tensor fused(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return group_norm(x, weight, bias,
                    {.groups = kGroups, .eps = kEps, .activation = Activation::kSilu});
}

Tensor unfused(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return at::silu(at::group_norm(x, kGroups, weight, bias, kEps));
}

using Operation = Tensor (*)(const Tensor&, const Tensor&, const Tensor&);

void measure(benchmark::State& state, Operation operation, at::ScalarType type, bool backward) {
  const int64_t channels = state.range(0), side = state.range(1);
  const auto map = [&] {
    return at::randn({kBatch, channels, side, side}, type)
        .contiguous(at::MemoryFormat::ChannelsLast);
  };
  const auto x = map().requires_grad_(backward);
  const auto weight = at::ones({channels}).requires_grad_(backward);  // float32, as under autocast
  const auto bias = at::zeros({channels}).requires_grad_(backward);
  const auto grad = map();
  for ([[maybe_unused]] const auto _ : state) {
    const auto y = operation(x, weight, bias);
    if (backward) torch::autograd::grad({y}, {x, weight, bias}, {grad});
  }
  const int64_t maps = backward ? 2 + 5 : 2;
  state.SetBytesProcessed(state.iterations() * maps * static_cast<int64_t>(x.nbytes()));
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"channels", "side"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const auto& [channels, side] : {std::pair{128, 256}, {256, 64}, {512, 16}}) {
    bench->Args({channels, side});
  }
}

#define GEAR_COMPARE(name, type, backward)                                        \
  BENCHMARK_CAPTURE(measure, name##_fused, fused, type, backward)->Apply(shapes); \
  BENCHMARK_CAPTURE(measure, name##_unfused, unfused, type, backward)->Apply(shapes)

GEAR_COMPARE(float32_forward, at::kFloat, false);
GEAR_COMPARE(float32_both, at::kFloat, true);
GEAR_COMPARE(bfloat16_forward, at::kBFloat16, false);
GEAR_COMPARE(bfloat16_both, at::kBFloat16, true);

}  // namespace
}  // namespace gear::ops
