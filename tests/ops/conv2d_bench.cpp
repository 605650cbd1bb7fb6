// 3x3 convolutions of the tokenizer and of VGG, channels-last float32: Winograd's method beside the
// library's. The gradients come after a forward pass each. Operations are those of the direct
// method, so that the rates compare.

#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <tuple>

#include "gear/ops/conv2d.h"

namespace gear::ops {
namespace {

/// What of a convolution is measured.
enum class Part { kForward, kInputGradient, kWeightGradient };

void measure(benchmark::State& state, ConvMethod method, Part part) {
  const int64_t images = state.range(0), channels = state.range(1), side = state.range(2);
  const auto map = [&] {
    return at::randn({images, channels, side, side}).contiguous(at::MemoryFormat::ChannelsLast);
  };
  const auto x = map().requires_grad_(part == Part::kInputGradient);
  const auto weight =
      (0.05 * at::randn({channels, channels, 3, 3})).requires_grad_(part == Part::kWeightGradient);
  const auto grad = map();
  for ([[maybe_unused]] const auto _ : state) {
    const auto y = conv2d(x, weight, {}, /*padding=*/1, method);
    if (part == Part::kForward) continue;
    torch::autograd::grad({y}, {part == Part::kInputGradient ? x : weight}, {grad});
  }
  const double once = 2.0 * 9 * channels * channels * images * side * side;
  const double passes = part == Part::kForward ? 1 : 2;
  state.counters["FLOP/s"] =
      benchmark::Counter(once * passes, benchmark::Counter::kIsIterationInvariantRate);
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"images", "channels", "side"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const auto& [images, channels, side] : {std::tuple{16, 64, 64},
                                               {16, 128, 16},
                                               {16, 256, 16},
                                               {1, 128, 8},
                                               {1, 512, 8},
                                               {4, 512, 8},
                                               {16, 512, 8},
                                               {2, 128, 256},
                                               {2, 256, 64},
                                               {2, 512, 16}}) {
    bench->Args({images, channels, side});
  }
}

#define GEAR_COMPARE(name, part)                                                           \
  BENCHMARK_CAPTURE(measure, name##_winograd, ConvMethod::kWinograd, part)->Apply(shapes); \
  BENCHMARK_CAPTURE(measure, name##_direct, ConvMethod::kDirect, part)->Apply(shapes)

GEAR_COMPARE(forward, Part::kForward);
GEAR_COMPARE(input_gradient, Part::kInputGradient);
GEAR_COMPARE(weight_gradient, Part::kWeightGradient);

}  // namespace
}  // namespace gear::ops
