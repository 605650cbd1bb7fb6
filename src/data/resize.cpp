#include "gear/data/resize.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>
#include <utility>
#include <vector>

#include "byte_blocks.h"

namespace gear::data {
namespace {

using io::Image;

constexpr int kFractionBits = 22;
constexpr int64_t kBlockRows = kBlock;           // rows that the horizontal pass takes at once
constexpr int64_t kBlockBytes = kBlockRows * 3;  // one column of such a block

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double radius(Filter filter) {
  switch (filter) {
    case Filter::kBox:
      return 0.5;
    case Filter::kBilinear:
      return 1.0;
    case Filter::kBicubic:
      return 2.0;
    case Filter::kLanczos:
      return 3.0;
  }
  TORCH_CHECK(false, "resize: unhandled filter ", static_cast<int>(filter));
}

double kernel(Filter filter, double x) {
  constexpr double a = -0.5;  // of the bicubic kernel (Keys 1981)
  const double t = std::abs(x);
  switch (filter) {
    case Filter::kBox:
      return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    case Filter::kBilinear:
      return t < 1.0 ? 1.0 - t : 0.0;
    case Filter::kBicubic:
      if (t < 1.0) return ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
      return t < 2.0 ? (((t - 5.0) * t + 8.0) * t - 4.0) * a : 0.0;
    case Filter::kLanczos:
      return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
  }
  TORCH_CHECK(false, "resize: unhandled filter ", static_cast<int>(filter));
}

/// Which inputs make up each output along one axis, and with what fixed-point weights.
struct Taps {
  std::vector<int64_t> first;    // [outputs], first input
  std::vector<int64_t> count;    // [outputs], inputs used
  std::vector<int32_t> weights;  // [outputs, stride]
  int64_t stride = 0;

  const int32_t* of(int64_t output) const { return weights.data() + output * stride; }
  int64_t begin() const { return first.front(); }  // inputs used by any output
  int64_t end() const { return first.back() + count.back(); }
};

/// How `in` samples are resampled to `out`.
struct Resampling {
  Resampling(int64_t in, int64_t out, Filter filter)
      : in(in),
        scale(static_cast<double>(in) / static_cast<double>(out)),
        filter_scale(std::max(scale, 1.0)),
        support(radius(filter) * filter_scale) {}

  double centre(int64_t output) const { return (static_cast<double>(output) + 0.5) * scale; }
  /// Inputs [first, end) that make up an output.
  int64_t first(int64_t output) const {
    return std::max<int64_t>(static_cast<int64_t>(centre(output) - support + 0.5), 0);
  }
  int64_t end(int64_t output) const {
    return std::min(static_cast<int64_t>(centre(output) + support + 0.5), in);
  }

  int64_t in;
  double scale, filter_scale, support;
};

/// Taps of outputs [start, start + outputs) when `in` samples are resampled to `out`.
Taps make_taps(int64_t in, int64_t out, Filter filter, int64_t start, int64_t outputs) {
  const Resampling resampling(in, out, filter);
  Taps taps;
  taps.stride = static_cast<int64_t>(std::ceil(resampling.support)) * 2 + 1;
  taps.weights.resize(static_cast<size_t>(outputs * taps.stride));
  std::vector<double> real(static_cast<size_t>(taps.stride));
  for (int64_t i = 0; i < outputs; ++i) {
    const double centre = resampling.centre(start + i);
    const int64_t first = resampling.first(start + i);
    const int64_t count = resampling.end(start + i) - first;
    double sum = 0.0;
    for (int64_t k = 0; k < count; ++k) {
      const double x = static_cast<double>(first + k) - centre + 0.5;
      real[static_cast<size_t>(k)] = kernel(filter, x * (1.0 / resampling.filter_scale));
      sum += real[static_cast<size_t>(k)];
    }
    for (int64_t k = 0; k < count; ++k) {
      double weight = real[static_cast<size_t>(k)];
      if (sum != 0.0) weight /= sum;
      weight *= 1 << kFractionBits;
      taps.weights[static_cast<size_t>(i * taps.stride + k)] =
          static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    taps.first.push_back(first);
    taps.count.push_back(count);
  }
  return taps;
}

GEAR_INLINED uint8_t round_to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

/// out[i] = sum over k of weights[k] * in[k * stride + i], for `lanes` neighbouring bytes.
template <int64_t lanes>
GEAR_INLINED void weighted_sum(const uint8_t* in, int64_t stride, const int32_t* weights,
                               int64_t count, uint8_t* out) {
  int32_t sums[lanes];
  for (int64_t i = 0; i < lanes; ++i) sums[i] = 1 << (kFractionBits - 1);
  for (int64_t k = 0; k < count; ++k) {
    const int32_t weight = weights[k];
    const uint8_t* bytes = in + k * stride;
    for (int64_t i = 0; i < lanes; ++i) sums[i] += weight * bytes[i];
  }
  for (int64_t i = 0; i < lanes; ++i) out[i] = round_to_byte(sums[i]);
}

/// Along columns the neighbours of a tap are whole rows, which vectors like.
GEAR_VECTOR_CLONES
void sum_rows(const uint8_t* in, int64_t row_bytes, const int32_t* weights, int64_t count,
              uint8_t* out) {
  constexpr int64_t kLanes = 64;
  int64_t i = 0;
  for (; i + kLanes <= row_bytes; i += kLanes) {
    weighted_sum<kLanes>(in + i, row_bytes, weights, count, out + i);
  }
  for (; i < row_bytes; ++i) weighted_sum<1>(in + i, row_bytes, weights, count, out + i);
}

/// Along rows the neighbours are 3 bytes apart. So 16 rows are turned into columns of 3 x 16 bytes,
/// which makes the pass the same as the one above.
GEAR_VECTOR_CLONES
void sum_columns(const uint8_t* columns, const int64_t* first, const int64_t* count,
                 const int32_t* weights, int64_t stride, int64_t outputs, uint8_t* out) {
  for (int64_t x = 0; x < outputs; ++x) {
    weighted_sum<kBlockBytes>(columns + first[x] * kBlockBytes, kBlockBytes, weights + x * stride,
                              count[x], out + x * kBlockBytes);
  }
}

/// `bytes` bytes of each of 16 rows to columns: out[i][row] = rows[row][i].
GEAR_VECTOR_CLONES
void rows_to_columns(const uint8_t* const* rows, int64_t bytes, uint8_t* out) {
  int64_t i = 0;
  for (; i + kBlock <= bytes; i += kBlock) {
    std::array<Bytes, kBlock> block;
    for (size_t r = 0; r < kBlock; ++r) block[r] = load_bytes(rows[r] + i);
    transpose(block);
    for (size_t c = 0; c < kBlock; ++c) {
      store_bytes(block[c], out + (i + static_cast<int64_t>(c)) * kBlockRows);
    }
  }
  for (; i < bytes; ++i) {
    for (int64_t r = 0; r < kBlockRows; ++r) out[i * kBlockRows + r] = rows[r][i];
  }
}

/// And back, for as many rows as there are: rows[row][i] = columns[i][row].
GEAR_VECTOR_CLONES
void columns_to_rows(const uint8_t* columns, int64_t bytes, uint8_t* const* rows, int64_t count) {
  int64_t i = 0;
  for (; i + kBlock <= bytes; i += kBlock) {
    std::array<Bytes, kBlock> block;
    for (size_t c = 0; c < kBlock; ++c) {
      block[c] = load_bytes(columns + (i + static_cast<int64_t>(c)) * kBlockRows);
    }
    transpose(block);
    for (int64_t r = 0; r < count; ++r) store_bytes(block[static_cast<size_t>(r)], rows[r] + i);
  }
  for (; i < bytes; ++i) {
    for (int64_t r = 0; r < count; ++r) rows[r][i] = columns[i * kBlockRows + r];
  }
}

/// Rows [first_row, first_row + out.height) of `image`, resampled along their length.
void resize_rows(const Image& image, int64_t first_row, Taps taps, Image& out) {
  const int64_t begin = taps.begin();
  const int64_t used_bytes = (taps.end() - begin) * 3;
  for (int64_t& first : taps.first) first -= begin;
  std::vector<uint8_t> in_columns(static_cast<size_t>(used_bytes * kBlockRows));
  std::vector<uint8_t> out_columns(static_cast<size_t>(out.width * kBlockBytes));
  for (int64_t y = 0; y < out.height; y += kBlockRows) {
    const int64_t rows_left = std::min(kBlockRows, out.height - y);
    const uint8_t* rows[kBlockRows];
    for (int64_t r = 0; r < kBlockRows; ++r) {  // the last block repeats its last row
      rows[r] = image.row(first_row + y + std::min(r, rows_left - 1)) + begin * 3;
    }
    rows_to_columns(rows, used_bytes, in_columns.data());
    sum_columns(in_columns.data(), taps.first.data(), taps.count.data(), taps.weights.data(),
                taps.stride, out.width, out_columns.data());
    uint8_t* out_rows[kBlockRows];
    for (int64_t r = 0; r < rows_left; ++r) out_rows[r] = out.row(y + r);
    columns_to_rows(out_columns.data(), out.width * 3, out_rows, rows_left);
  }
}

}  // namespace

Image resize_window(const Image& image, int64_t height, int64_t width, Filter filter,
                    const Window& window) {
  TORCH_CHECK(window.top >= 0 && window.left >= 0 && window.height > 0 && window.width > 0 &&
                  window.top + window.height <= height && window.left + window.width <= width,
              "resize_window: the window does not lie within ", height, " x ", width);
  const Taps vertical = make_taps(image.height, height, filter, window.top, window.height);
  const bool resize_height = image.height != height;  // a pass that changes nothing is left out
  const int64_t first_row = resize_height ? vertical.begin() : window.top;
  const int64_t num_rows = resize_height ? vertical.end() - first_row : window.height;

  Image rows(window.width, num_rows);
  if (image.width != width) {
    resize_rows(image, first_row, make_taps(image.width, width, filter, window.left, window.width),
                rows);
  } else {
    for (int64_t y = 0; y < num_rows; ++y) {
      std::memcpy(rows.row(y), image.row(first_row + y) + 3 * window.left,
                  static_cast<size_t>(3 * window.width));
    }
  }
  if (!resize_height) return rows;

  Image out(window.width, window.height);
  for (int64_t y = 0; y < out.height; ++y) {
    const auto i = static_cast<size_t>(y);
    sum_rows(rows.row(vertical.first[i] - first_row), 3 * out.width, vertical.of(y),
             vertical.count[i], out.row(y));
  }
  return out;
}

Window resize_source(int64_t in_height, int64_t in_width, int64_t height, int64_t width,
                     Filter filter, const Window& window) {
  const auto source = [filter](int64_t in, int64_t out, int64_t start, int64_t count) {
    if (in == out) return std::pair(start, count);  // copied
    const Resampling resampling(in, out, filter);
    const int64_t first = resampling.first(start);
    return std::pair(first, resampling.end(start + count - 1) - first);
  };
  const auto [top, rows] = source(in_height, height, window.top, window.height);
  const auto [left, columns] = source(in_width, width, window.left, window.width);
  return {top, left, rows, columns};
}

Image resize(const Image& image, int64_t height, int64_t width, Filter filter) {
  return resize_window(image, height, width, filter, {0, 0, height, width});
}

}  // namespace gear::data
