#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/cached_attention_kernels.h"
#include "ops/cpu/vector_math.h"

// R rows, H heads, H_kv key/value heads, d head width, S capacity, n positions attended to

namespace gear::ops {
namespace {

using cpu::narrow;
using cpu::vector_exp;
using cpu::widen;

/// Rotates the pairs (2p, 2p + 1) of x [d] by table [d / 2, 2].
void rotate(const float* x, const float* table, int64_t width, float* out) {
  for (int64_t c = 0; c < width; c += 2) {
    const float cosine = table[c], sine = table[c + 1];
    out[c] = x[c] * cosine - x[c + 1] * sine;
    out[c + 1] = x[c + 1] * cosine + x[c] * sine;
  }
}

/// scores[i] = <query, keys[i]>, four keys at a time.
template <class T>
GEAR_VECTOR_CLONES void score(const float* query, const T* keys, int64_t count, int64_t width,
                              float* scores) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4, keys += 4 * width) {
    float a = 0, b = 0, c = 0, d = 0;
#pragma omp simd reduction(+ : a, b, c, d)
    for (int64_t k = 0; k < width; ++k) {
      a += query[k] * widen(keys[k]);
      b += query[k] * widen(keys[k + width]);
      c += query[k] * widen(keys[k + 2 * width]);
      d += query[k] * widen(keys[k + 3 * width]);
    }
    scores[i] = a;
    scores[i + 1] = b;
    scores[i + 2] = c;
    scores[i + 3] = d;
  }
  for (; i < count; ++i, keys += width) {
    float a = 0;
#pragma omp simd reduction(+ : a)
    for (int64_t k = 0; k < width; ++k) a += query[k] * widen(keys[k]);
    scores[i] = a;
  }
}

/// Scores become weights e^(score - largest); returns their sum.
GEAR_VECTOR_CLONES float exponentials(float* scores, int64_t count) {
  float most = scores[0];
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < count; ++i) most = scores[i] > most ? scores[i] : most;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    scores[i] = vector_exp(scores[i] - most);
    sum += scores[i];
  }
  return sum;
}

/// out = sum of weights[i] * values[i], times `factor`; four rows of values at a time.
template <class T>
GEAR_VECTOR_CLONES void mix(const float* weights, const T* values, int64_t count, int64_t width,
                            float factor, float* out) {
  std::fill(out, out + width, 0.0F);
  int64_t i = 0;
  for (; i + 4 <= count; i += 4, values += 4 * width) {
    const float a = weights[i], b = weights[i + 1], c = weights[i + 2], d = weights[i + 3];
#pragma omp simd
    for (int64_t k = 0; k < width; ++k) {
      out[k] += a * widen(values[k]) + b * widen(values[k + width]) +
                c * widen(values[k + 2 * width]) + d * widen(values[k + 3 * width]);
    }
  }
  for (; i < count; ++i, values += width) {
#pragma omp simd
    for (int64_t k = 0; k < width; ++k) out[k] += weights[i] * widen(values[k]);
  }
#pragma omp simd
  for (int64_t k = 0; k < width; ++k) out[k] *= factor;
}

/// The work on one row and one key/value head at a time.
template <class T>
class Attention {
 public:
  Attention(const Tensor& qkv, int64_t position, const CachedKeys& cache, const HeadSizes& sizes,
            const Tensor& out)
      : sizes_(sizes),
        position_(position),
        qkv_(qkv.const_data_ptr<float>()),
        rotary_(cache.rotary.const_data_ptr<float>() + position * sizes.width),
        keys_(cache.keys.mutable_data_ptr<T>()),
        values_(cache.values.mutable_data_ptr<T>()),
        visible_(cache.visible.defined() ? cache.visible.const_data_ptr<bool>() : nullptr),
        visible_stride_(cache.visible.defined() ? cache.visible.stride(0) : 0),
        out_(out.mutable_data_ptr<float>()) {}

  void run() const {
    at::parallel_for(
        0, sizes_.rows * sizes_.kv_heads, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
          std::vector<float> scratch(static_cast<size_t>(sizes_.width + position_ + 1));
          for (int64_t i = begin; i < end; ++i) {
            attend(i / sizes_.kv_heads, i % sizes_.kv_heads, scratch.data());
          }
        });
  }

 private:
  void attend(int64_t row, int64_t kv_head, float* scratch) const {
    const int64_t width = sizes_.width, count = position_ + 1;
    const float* queries = qkv_ + row * sizes_.projected();
    const float* key = queries + (sizes_.heads + kv_head) * width;
    const int64_t start = (row * sizes_.kv_heads + kv_head) * sizes_.capacity * width;
    float* turned = scratch;          // [d]
    float* scores = scratch + width;  // [n]

    rotate(key, rotary_, width, turned);
    store(turned, keys_ + start + position_ * width);
    store(key + sizes_.kv_heads * width, values_ + start + position_ * width);
    for (int64_t h = kv_head * sizes_.group(); h < (kv_head + 1) * sizes_.group(); ++h) {
      rotate(queries + h * width, rotary_, width, turned);
      const float scale = 1.0F / std::sqrt(static_cast<float>(width));
      for (int64_t k = 0; k < width; ++k) turned[k] *= scale;
      score(turned, keys_ + start, count, width, scores);
      const float total = softmax_weights(row, scores);
      mix(scores, values_ + start, count, width, 1.0F / total,
          out_ + (row * sizes_.heads + h) * width);
    }
  }

  void store(const float* from, T* to) const {
    for (int64_t k = 0; k < sizes_.width; ++k) to[k] = narrow<T>(from[k]);
  }

  /// Returns the sum of the weights.
  float softmax_weights(int64_t row, float* scores) const {
    const int64_t count = position_ + 1;
    if (visible_ == nullptr) return exponentials(scores, count);
    const bool* visible = visible_ + row * visible_stride_;
    for (int64_t i = 0; i < count; ++i) {
      if (!visible[i]) scores[i] = std::numeric_limits<float>::lowest();
    }
    exponentials(scores, count);
    float total = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (!visible[i]) scores[i] = 0;  // the exponential stays above 0
      total += scores[i];
    }
    return total;
  }

  HeadSizes sizes_;
  int64_t position_;
  const float* qkv_;
  const float* rotary_;  // [d / 2, 2] of this position
  T* keys_;
  T* values_;
  const bool* visible_;  // or null
  int64_t visible_stride_;
  float* out_;
};

void attend(const Tensor& qkv, const Tensor& position, const CachedKeys& cache,
            const HeadSizes& sizes, const Tensor& out) {
  const int64_t at = position.item<int64_t>();
  TORCH_CHECK(at >= 0 && at < sizes.capacity && at < cache.rotary.size(0),
              "cached_attention: position ", at, " is outside the ", sizes.capacity,
              " of the cache or the ", cache.rotary.size(0), " of the rotary table");
  if (cache.keys.scalar_type() == at::kFloat) {
    Attention<float>(qkv, at, cache, sizes, out).run();
  } else {
    Attention<c10::BFloat16>(qkv, at, cache, sizes, out).run();
  }
}

}  // namespace

const CachedAttentionKernels kCpuCachedAttention = {.attend = attend};

}  // namespace gear::ops
