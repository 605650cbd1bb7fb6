#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "ops/cpu/matrix_product.h"
#include "ops/cpu/processor.h"
#include "ops/cpu/winograd_tiles.h"
#include "ops/cpu/winograd_weights.h"
#include "ops/winograd_kernels.h"

// B images, C channels in, K channels out, T tiles of a block
// The gradient of the weights: 36 products of transformed inputs [T, C], turned, and gradients
// [T, K], transformed back and summed over blocks of tiles. That of the bias is the sum over the
// tiles. The threads share a block and divide its products; how the sums are cut does not depend on
// their number.

namespace gear::ops::cpu {
namespace {

using namespace winograd;

struct ParameterGradients {
  Map in, out;
  Tiling tiling;
  int64_t padding;
  const float *x, *grad, *zeros;
  float *weight, *bias;  // the results, [K, C, taps, taps] and [K]
  float *inputs,
      *outputs;      // [36, capacity, C] and, with the sums, [37, K / panel, capacity, panel]
  int64_t capacity;  // tiles of a block
  int64_t first = 0, count = 0;  // the present block
};

/// Transforms tiles [begin, end) of the block.
template <int64_t lanes, int64_t taps>
GEAR_INLINE void transform_pairs(const ParameterGradients& g, int64_t begin, int64_t end) {
  constexpr int64_t kPanel = RegisterTile<lanes>::kColumns;
  const int64_t in = g.in.channels, out = g.out.channels;
  for (int64_t t = begin; t < end; ++t) {
    const Place place(g.tiling, g.first + t);
    const Transformed outputs = {g.outputs + t * kPanel, g.capacity * out, kPanel,
                                 g.capacity * kPanel};
    input_tile<lanes>(g.x, g.in, g.padding, place, g.zeros,
                      {g.inputs + t * in, g.capacity * in, in, 0});
    output_gradient_tile<lanes, taps>(g.grad, g.out, place, g.zeros, outputs);
    sum_tile<lanes, taps>(g.grad, g.out, place, g.zeros, outputs);
  }
}

/// What the block adds for input channels [c, c + rows) and a panel of output channels; factors
/// [36, rows, panel] are memory of this thread.
template <int64_t lanes, int64_t taps>
GEAR_INLINE void add_products(const ParameterGradients& g, int64_t c, int64_t rows, int64_t panel,
                              float* factors) {
  constexpr int64_t kPanel = RegisterTile<lanes>::kColumns;
  const int64_t in = g.in.channels, out = g.out.channels;
  for (int64_t i = 0; i < kProducts; ++i) {
    multiply<lanes>({.rows = rows,
                     .columns = kPanel,
                     .depth = g.count,
                     .a = g.inputs + i * g.capacity * in + c,
                     .a_row = 1,
                     .a_depth = in,
                     .b = g.outputs + i * g.capacity * out + panel * g.capacity * kPanel,
                     .b_panel = 0,
                     .b_depth = kPanel,
                     .c = factors + i * rows * kPanel,
                     .c_row = kPanel,
                     .add = false});
  }
  gather_gradient<lanes, taps>(factors, rows, in, c, panel * kPanel, /*add=*/g.first > 0, g.weight);
}

/// What the block adds to the gradient of the bias, for a panel.
template <int64_t lanes>
GEAR_INLINE void add_sums(const ParameterGradients& g, int64_t panel) {
  constexpr int64_t kPanel = RegisterTile<lanes>::kColumns;
  const float* sums = g.outputs + (kProducts * g.out.channels + panel * kPanel) * g.capacity;
  for (int64_t k = 0; k < kPanel; k += lanes) {
    float* to = g.bias + panel * kPanel + k;
    Vector<lanes> sum = {};
    if (g.first > 0) sum = load<lanes>(to);
    for (int64_t t = 0; t < g.count; ++t) sum += load<lanes>(sums + t * kPanel + k);
    store(to, sum);
  }
}

/// The loops above as compiled for one kind of processor.
struct Code {
  int64_t panel;
  void (*transform_pairs)(const ParameterGradients&, int64_t begin, int64_t end);
  void (*add_products)(const ParameterGradients&, int64_t c, int64_t rows, int64_t panel,
                       float* factors);
};

#define GEAR_CODE(name, lanes, target)                                                  \
  template <int64_t taps>                                                               \
  struct name {                                                                         \
    target static void pairs(const ParameterGradients& g, int64_t begin, int64_t end) { \
      cpu::transform_pairs<lanes, taps>(g, begin, end);                                 \
    }                                                                                   \
    target static void products(const ParameterGradients& g, int64_t c, int64_t rows,   \
                                int64_t panel, float* factors) {                        \
      cpu::add_products<lanes, taps>(g, c, rows, panel, factors);                       \
      if (c == 0) cpu::add_sums<lanes>(g, panel);                                       \
    }                                                                                   \
    static constexpr Code kCode = {RegisterTile<lanes>::kColumns, pairs, products};     \
  }
GEAR_CODE(Avx2, 8, GEAR_AVX2);
GEAR_CODE(Avx512, 16, GEAR_AVX512);
#undef GEAR_CODE

template <int64_t taps>
const Code& code() {
  return vectors() == Vectors::kAvx512 ? Avx512<taps>::kCode : Avx2<taps>::kCode;
}

constexpr int64_t kRows = kWinogradChannels;  // input channels that a thread takes at once

Tensor floats(int64_t count) { return at::empty({count}, at::kFloat); }
float* data(const Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }

/// Tiles of a block. The result is read and written once for each, which a wide layer feels more.
int64_t block_tiles(int64_t in, int64_t out, int64_t tiles) {
  const int64_t floats_per_block = in * out <= 128 * 128 ? int64_t{450} << 10 : int64_t{3600} << 10;
  const int64_t fit = floats_per_block / (kProducts * (in + out));
  return std::min(std::clamp<int64_t>(fit, 24, 384), tiles);
}

void run_block(const ParameterGradients& g, const Code& code) {
  at::parallel_for(0, g.count, /*grain_size=*/1,
                   [&](int64_t begin, int64_t end) { code.transform_pairs(g, begin, end); });
  const int64_t chunks = g.in.channels / kRows, panels = g.out.channels / code.panel;
  at::parallel_for(0, chunks * panels, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    const auto factors = floats(kProducts * kRows * code.panel);
    for (int64_t i = begin; i < end; ++i) {
      code.add_products(g, i % chunks * kRows, kRows, i / chunks, data(factors));
    }
  });
}

template <int64_t taps>
WinogradGradients parameter_gradients(const Tensor& x, const Tensor& grad, int64_t padding) {
  const Map in = map_of(x), out = map_of(grad);
  const Tiling tiling(out, kOutputs<taps>);
  const int64_t capacity = block_tiles(in.channels, out.channels, tiling.count);
  const auto inputs = floats(kProducts * capacity * in.channels);
  const auto outputs = floats((kProducts + 1) * capacity * out.channels);
  const auto zeros = at::zeros({std::max(in.channels, out.channels)}, at::kFloat);
  const WinogradGradients found = {
      .weight = at::empty({out.channels, in.channels, taps, taps}, at::kFloat),
      .bias = floats(out.channels)};
  ParameterGradients gradients = {.in = in,
                                  .out = out,
                                  .tiling = tiling,
                                  .padding = padding,
                                  .x = x.const_data_ptr<float>(),
                                  .grad = grad.const_data_ptr<float>(),
                                  .zeros = zeros.const_data_ptr<float>(),
                                  .weight = data(found.weight),
                                  .bias = data(found.bias),
                                  .inputs = data(inputs),
                                  .outputs = data(outputs),
                                  .capacity = capacity};
  for (; gradients.first < tiling.count; gradients.first += capacity) {
    gradients.count = std::min(capacity, tiling.count - gradients.first);
    run_block(gradients, code<taps>());
  }
  return found;
}

}  // namespace

WinogradGradients winograd_parameter_gradients(const Tensor& x, const Tensor& grad, int64_t taps,
                                               int64_t padding) {
  return taps == 3 ? parameter_gradients<3>(x, grad, padding)
                   : parameter_gradients<4>(x, grad, padding);
}

}  // namespace gear::ops::cpu
