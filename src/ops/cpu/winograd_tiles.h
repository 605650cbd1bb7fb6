#pragma once

#include <algorithm>
#include <cstdint>

#include "gear/core/tensor.h"
#include "ops/cpu/winograd_transform.h"

// C channels
// From maps to transformed tiles and back, all channels of a tile at a time.

namespace gear::ops::cpu::winograd {

/// A channels-last map [B, H, W, C].
struct Map {
  int64_t images, height, width, channels;
};
inline Map map_of(const Tensor& x) { return {x.size(0), x.size(2), x.size(3), x.size(1)}; }

/// How the outputs of a convolution divide into square tiles, numbered image by image and row by
/// row. Those at the right and lower edge may reach beyond the map.
struct Tiling {
  Tiling(const Map& outputs, int64_t tile_side)
      : side(tile_side),
        rows((outputs.height + side - 1) / side),
        columns((outputs.width + side - 1) / side),
        count(outputs.images * rows * columns) {}

  const int64_t side, rows, columns, count;
};

/// The first output of a tile.
struct Place {
  Place(const Tiling& tiling, int64_t tile)
      : image(tile / (tiling.rows * tiling.columns)),
        row(tile / tiling.columns % tiling.rows * tiling.side),
        column(tile % tiling.columns * tiling.side) {}

  int64_t image, row, column;
};

/// Pointers to side x side pixels from (row, column) on, which may lie outside: there `zeros` [C].
template <int64_t side>
struct Pixels {
  GEAR_INLINE Pixels(const float* data, const Map& map, int64_t image, int64_t row, int64_t column,
                     const float* zeros) {
    for (int64_t i = 0; i < side; ++i) {
      for (int64_t j = 0; j < side; ++j) {
        const int64_t y = row + i, x = column + j;
        const bool inside = y >= 0 && y < map.height && x >= 0 && x < map.width;
        at[j][i] =
            inside ? data + ((image * map.height + y) * map.width + x) * map.channels : zeros;
      }
    }
  }

  const float* at[side][side];  // [column][row]
};

/// Where the 36 transformed values of a tile lie: value i of channel c at
///   data + i * value_stride + c / panel * panel_stride + c % panel
struct Transformed {
  float* data;
  int64_t value_stride, panel, panel_stride;
};

/// Applies `transform` to the columns and the rows of one tile, for all channels.
template <int64_t lanes, int64_t side, class Transform>
GEAR_INLINE void transform_tile(const Pixels<side>& pixels, int64_t channels, const Transformed& to,
                                const Transform& transform) {
  using V = Vector<lanes>;
  for (int64_t c = 0; c < channels; c += lanes) {
    V half[kInputs][side];
    for (int64_t j = 0; j < side; ++j) {
      V column[side], out[kInputs];
      for (int64_t i = 0; i < side; ++i) column[i] = load<lanes>(pixels.at[j][i] + c);
      transform(column, out);
      for (int64_t i = 0; i < kInputs; ++i) half[i][j] = out[i];
    }
    float* data = to.data + c / to.panel * to.panel_stride + c % to.panel;
    for (int64_t i = 0; i < kInputs; ++i) {
      V out[kInputs];
      transform(half[i], out);
      for (int64_t j = 0; j < kInputs; ++j)
        store(data + (i * kInputs + j) * to.value_stride, out[j]);
    }
  }
}

/// Bt d B of the 6 x 6 inputs of a tile.
template <int64_t lanes>
GEAR_INLINE void input_tile(const float* x, const Map& map, int64_t padding, const Place& place,
                            const float* zeros, const Transformed& to) {
  const Pixels<kInputs> pixels(x, map, place.image, place.row - padding, place.column - padding,
                               zeros);
  transform_tile<lanes>(
      pixels, map.channels, to,
      [](const auto* d, auto* out) __attribute__((always_inline)) { transform_input(d, out); });
}

/// A dy At of the gradients of the outputs of a tile.
template <int64_t lanes, int64_t taps>
GEAR_INLINE void output_gradient_tile(const float* grad, const Map& map, const Place& place,
                                      const float* zeros, const Transformed& to) {
  const Pixels<kOutputs<taps>> pixels(grad, map, place.image, place.row, place.column, zeros);
  transform_tile<lanes>(
      pixels, map.channels, to, [](const auto* d, auto* out) __attribute__((always_inline)) {
        transform_output_gradient<taps>(d, out);
      });
}

/// Sum over the pixels of a tile, as one more value behind the 36 transformed ones.
template <int64_t lanes, int64_t taps>
GEAR_INLINE void sum_tile(const float* grad, const Map& map, const Place& place, const float* zeros,
                          const Transformed& to) {
  constexpr int64_t kSide = kOutputs<taps>;
  const Pixels<kSide> pixels(grad, map, place.image, place.row, place.column, zeros);
  for (int64_t c = 0; c < map.channels; c += lanes) {
    Vector<lanes> sum = {};
    for (int64_t j = 0; j < kSide; ++j) {
      for (int64_t i = 0; i < kSide; ++i) sum += load<lanes>(pixels.at[j][i] + c);
    }
    store(to.data + kProducts * to.value_stride + c / to.panel * to.panel_stride + c % to.panel,
          sum);
  }
}

/// Channels [begin, end) of a map.
struct Channels {
  int64_t begin, end;
};

/// At m A + bias, to the pixels of a tile that lie on the map, for some channels. `products` begin
/// with the first of these channels; `bias` may be null.
template <int64_t lanes, int64_t taps>
GEAR_INLINE void output_tile(const float* products, int64_t value_stride, const float* bias,
                             const Map& map, const Channels& channels, const Place& place,
                             float* y) {
  using V = Vector<lanes>;
  constexpr int64_t kSide = kOutputs<taps>;
  const int64_t height = std::min(kSide, map.height - place.row);
  const int64_t width = std::min(kSide, map.width - place.column);
  float* first =
      y + ((place.image * map.height + place.row) * map.width + place.column) * map.channels;
  for (int64_t c = channels.begin; c < channels.end; c += lanes) {
    const float* product = products + c - channels.begin;
    V half[kSide][kInputs];
    for (int64_t j = 0; j < kInputs; ++j) {
      V column[kInputs], out[kSide];
      for (int64_t i = 0; i < kInputs; ++i) {
        column[i] = load<lanes>(product + (i * kInputs + j) * value_stride);
      }
      transform_output<taps>(column, out);
      for (int64_t i = 0; i < kSide; ++i) half[i][j] = out[i];
    }
    const V shift = bias != nullptr ? load<lanes>(bias + c) : V{};
    for (int64_t i = 0; i < height; ++i) {
      V out[kSide];
      transform_output<taps>(half[i], out);
      for (int64_t j = 0; j < width; ++j) {
        store(first + (i * map.width + j) * map.channels + c, out[j] + shift);
      }
    }
  }
}

}  // namespace gear::ops::cpu::winograd
