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
// Tiles are taken in blocks: transformed, multiplied by the transformed weights (36 products of
// [T, C] and [C, K]) and transformed back.
//   narrow layers  Each thread has blocks of its own, small enough for its second level cache. The
//                  transformed weights, four times as many as the weights, are made once.
//   wide layers    The threads share a block and divide the columns, in panels, among them. The
//                  weights of a panel are transformed when they are needed and never all at hand.

namespace gear::ops::cpu {
namespace {

using namespace winograd;

struct Convolution {
  Map in, out;
  Tiling tiling;
  int64_t padding;
  const float* x;
  Weights weights;
  const float *bias, *zeros;
  float* y;
};

/// Tiles [first, first + count) and memory for their transforms, [36, capacity, C] and, of a
/// narrow layer, [36, capacity, K].
struct Block {
  int64_t capacity, first, count;
  float *inputs, *products;
};

template <int64_t lanes>
GEAR_INLINE void transform_inputs(const Convolution& conv, const Block& block, int64_t begin,
                                  int64_t end) {
  const int64_t depth = conv.in.channels;
  for (int64_t t = begin; t < end; ++t) {
    input_tile<lanes>(conv.x, conv.in, conv.padding, Place(conv.tiling, block.first + t),
                      conv.zeros, {block.inputs + t * depth, block.capacity * depth, depth, 0});
  }
}

/// What the tiles of a block become in `columns` channels.
///   factors   [36] of [columns / panel, C, panel], `factor_stride` apart
///   products  [36, capacity, columns]
template <int64_t lanes, int64_t taps>
GEAR_INLINE void multiply_tiles(const Convolution& conv, const Block& block, const Channels& range,
                                const float* factors, int64_t factor_stride, float* products) {
  constexpr int64_t kPanel = RegisterTile<lanes>::kColumns;
  const int64_t depth = conv.in.channels, columns = range.end - range.begin;
  const int64_t input_stride = block.capacity * depth, product_stride = block.capacity * columns;
  for (int64_t i = 0; i < kProducts; ++i) {
    multiply<lanes>({.rows = block.count,
                     .columns = columns,
                     .depth = depth,
                     .a = block.inputs + i * input_stride,
                     .a_row = depth,
                     .a_depth = 1,
                     .b = factors + i * factor_stride,
                     .b_panel = depth * kPanel,
                     .b_depth = kPanel,
                     .c = products + i * product_stride,
                     .c_row = columns,
                     .add = false});
  }
  for (int64_t t = 0; t < block.count; ++t) {
    output_tile<lanes, taps>(products + t * columns, product_stride, conv.bias, conv.out, range,
                             Place(conv.tiling, block.first + t), conv.y);
  }
}

/// A block of a narrow layer; factors [36, K / panel, C, panel].
template <int64_t lanes, int64_t taps>
GEAR_INLINE void run_narrow(const Convolution& conv, const Block& block, const float* factors) {
  transform_inputs<lanes>(conv, block, 0, block.count);
  multiply_tiles<lanes, taps>(conv, block, {0, conv.out.channels}, factors,
                              conv.in.channels * conv.out.channels, block.products);
}

/// A panel of a block of a wide layer whose inputs are transformed; factors [36, C, panel] and
/// products [36, capacity, panel] are memory of this thread.
template <int64_t lanes, int64_t taps>
GEAR_INLINE void run_panel(const Convolution& conv, const Block& block, int64_t panel,
                           float* factors, float* products) {
  constexpr int64_t kPanel = RegisterTile<lanes>::kColumns;
  const int64_t n = panel * kPanel, factor_stride = conv.in.channels * kPanel;
  transform_weights<lanes, taps>(conv.weights, n, factors, factor_stride);
  multiply_tiles<lanes, taps>(conv, block, {n, n + kPanel}, factors, factor_stride, products);
}

/// The loops above as compiled for one kind of processor.
struct Code {
  int64_t panel;
  void (*transform_weights)(const Weights&, int64_t n, float* panels, int64_t factor_stride);
  void (*transform_inputs)(const Convolution&, const Block&, int64_t begin, int64_t end);
  void (*run_narrow)(const Convolution&, const Block&, const float* factors);
  void (*run_panel)(const Convolution&, const Block&, int64_t panel, float* factors,
                    float* products);
};

#define GEAR_CODE(name, lanes, target)                                                             \
  template <int64_t taps>                                                                          \
  struct name {                                                                                    \
    target static void weights(const Weights& w, int64_t n, float* panels, int64_t stride) {       \
      winograd::transform_weights<lanes, taps>(w, n, panels, stride);                              \
    }                                                                                              \
    target static void inputs(const Convolution& c, const Block& b, int64_t begin, int64_t end) {  \
      cpu::transform_inputs<lanes>(c, b, begin, end);                                              \
    }                                                                                              \
    target static void narrow(const Convolution& c, const Block& b, const float* factors) {        \
      cpu::run_narrow<lanes, taps>(c, b, factors);                                                 \
    }                                                                                              \
    target static void panel(const Convolution& c, const Block& b, int64_t panel, float* factors,  \
                             float* products) {                                                    \
      cpu::run_panel<lanes, taps>(c, b, panel, factors, products);                                 \
    }                                                                                              \
    static constexpr Code kCode = {RegisterTile<lanes>::kColumns, weights, inputs, narrow, panel}; \
  }
GEAR_CODE(Avx2, 8, GEAR_AVX2);
GEAR_CODE(Avx512, 16, GEAR_AVX512);
#undef GEAR_CODE

template <int64_t taps>
const Code& code() {
  return vectors() == Vectors::kAvx512 ? Avx512<taps>::kCode : Avx2<taps>::kCode;
}

// The transformed weights of a narrow layer stay in the caches between blocks; with few tiles they
// are not used often enough to be kept.
constexpr int64_t kNarrow = 128 * 128;
constexpr int64_t kNarrowTiles = 24;
constexpr int64_t kWideTiles = 192;

Tensor floats(int64_t count) { return at::empty({count}, at::kFloat); }
float* data(const Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }

/// [36, N / panel, D, panel]
Tensor all_factors(const Weights& weights, const Code& code) {
  const int64_t depth = weights.depth(), columns = weights.columns();
  const auto factors = floats(kProducts * depth * columns);
  at::parallel_for(0, columns / code.panel, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin * code.panel; n < end * code.panel; n += code.panel) {
      code.transform_weights(weights, n, data(factors) + n * depth, depth * columns);
    }
  });
  return factors;
}

void run_narrow_layer(const Convolution& conv, const Code& code) {
  const auto factors = all_factors(conv.weights, code);
  const int64_t tiles = conv.tiling.count, capacity = kNarrowTiles;
  const int64_t blocks = (tiles + capacity - 1) / capacity;
  at::parallel_for(0, blocks, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    const auto inputs = floats(kProducts * capacity * conv.in.channels);
    const auto products = floats(kProducts * capacity * conv.out.channels);
    for (int64_t first = begin * capacity; first < std::min(end * capacity, tiles);
         first += capacity) {
      const Block block = {capacity, first, std::min(capacity, tiles - first), data(inputs),
                           data(products)};
      code.run_narrow(conv, block, data(factors));
    }
  });
}

void run_wide_layer(const Convolution& conv, const Code& code) {
  const int64_t tiles = conv.tiling.count, capacity = std::min(kWideTiles, tiles);
  const auto inputs = floats(kProducts * capacity * conv.in.channels);
  for (int64_t first = 0; first < tiles; first += capacity) {
    const Block block = {capacity, first, std::min(capacity, tiles - first), data(inputs), nullptr};
    at::parallel_for(0, block.count, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
      code.transform_inputs(conv, block, begin, end);
    });
    const int64_t panels = conv.out.channels / code.panel;
    at::parallel_for(0, panels, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
      const auto factors = floats(kProducts * conv.in.channels * code.panel);
      const auto products = floats(kProducts * capacity * code.panel);
      for (int64_t panel = begin; panel < end; ++panel) {
        code.run_panel(conv, block, panel, data(factors), data(products));
      }
    });
  }
}

template <int64_t taps>
Tensor convolve(const Tensor& x, const Weights& weights, const Tensor& bias, int64_t padding) {
  const Map in = map_of(x);
  const int64_t growth = 2 * padding - taps + 1;
  const Map out = {in.images, in.height + growth, in.width + growth, weights.columns()};
  const auto y =
      at::empty({out.images, out.channels, out.height, out.width},
                at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
  const auto zeros = at::zeros({in.channels}, at::kFloat);
  const Convolution conv = {.in = in,
                            .out = out,
                            .tiling = Tiling(out, kOutputs<taps>),
                            .padding = padding,
                            .x = x.const_data_ptr<float>(),
                            .weights = weights,
                            .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                            .zeros = zeros.const_data_ptr<float>(),
                            .y = data(y)};
  const bool narrow = in.channels * out.channels <= kNarrow && conv.tiling.count > kWideTiles;
  (narrow ? run_narrow_layer : run_wide_layer)(conv, code<taps>());
  return y;
}

Weights weights_of(const Tensor& weight, bool backward) {
  return {weight.const_data_ptr<float>(), weight.size(1), weight.size(0), backward};
}

}  // namespace

bool winograd_supported() { return vectors() != Vectors::kNone; }

Tensor winograd_forward(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        int64_t padding) {
  const auto weights = weights_of(weight, /*backward=*/false);
  return weight.size(2) == 3 ? convolve<3>(x, weights, bias, padding)
                             : convolve<4>(x, weights, bias, padding);
}

Tensor winograd_input_gradient(const Tensor& grad, const Tensor& weight, int64_t padding) {
  const auto weights = weights_of(weight, /*backward=*/true);
  return weight.size(2) == 3 ? convolve<3>(grad, weights, {}, 2 - padding)
                             : convolve<4>(grad, weights, {}, 3 - padding);
}

}  // namespace gear::ops::cpu
