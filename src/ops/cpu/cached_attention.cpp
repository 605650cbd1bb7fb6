#include <ATen/Parallel.h>

#include <cmath>
#include <limits>
#include <vector>

#include "ops/cached_attention_kernels.h"
#include "ops/cpu/attention_loops.h"
#include "ops/cpu/vector_math.h"

// R rows, H heads, H_kv key/value heads, d head width, S capacity, n positions attended to

namespace gear::ops {
namespace {

using cpu::narrow;

/// Rotates the pairs (2p, 2p + 1) of x [d] by table [d / 2, 2].
void rotate(const float* x, const float* table, int64_t width, float* out) {
  for (int64_t c = 0; c < width; c += 2) {
    const float cosine = table[c], sine = table[c + 1];
    out[c] = x[c] * cosine - x[c + 1] * sine;
    out[c + 1] = x[c + 1] * cosine + x[c] * sine;
  }
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
          std::vector<float> scratch(static_cast<size_t>(2 * sizes_.width + position_ + 1));
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
    float* turned = scratch;        // [d]
    float* query = turned + width;  // [d], in the order of the vectors
    float* scores = query + width;  // [n]

    rotate(key, rotary_, width, turned);
    store(turned, keys_ + start + position_ * width);
    store(key + sizes_.kv_heads * width, values_ + start + position_ * width);
    for (int64_t h = kv_head * sizes_.group(); h < (kv_head + 1) * sizes_.group(); ++h) {
      rotate(queries + h * width, rotary_, width, turned);
      const float scale = 1.0F / std::sqrt(static_cast<float>(width));
      for (int64_t k = 0; k < width; ++k) turned[k] *= scale;
      cpu::arrange<T>(turned, width, query);
      cpu::score(query, keys_ + start, count, width, scores);
      const float total = softmax_weights(row, scores);
      cpu::mix<T>({scores, values_ + start, count, width, 1.0F / total},
                  out_ + (row * sizes_.heads + h) * width);
    }
  }

  void store(const float* from, T* to) const {
    for (int64_t k = 0; k < sizes_.width; ++k) to[k] = narrow<T>(from[k]);
  }

  /// Returns the sum of the weights.
  float softmax_weights(int64_t row, float* scores) const {
    const int64_t count = position_ + 1;
    if (visible_ == nullptr) return cpu::exponentials(scores, count);
    const bool* visible = visible_ + row * visible_stride_;
    for (int64_t i = 0; i < count; ++i) {
      if (!visible[i]) scores[i] = std::numeric_limits<float>::lowest();
    }
    cpu::exponentials(scores, count);
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
