#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "ops/cpu/vector_math.h"
#include "ops/cpu/vectors.h"

// d head width, n positions
// Attention of one query over the keys and values of one head, [n, d] of float32 or bfloat16.

namespace gear::ops::cpu {

constexpr int kChannels = 2 * kLanes;  // read at a time

/// The order in which two vectors hold 16 channels.
template <class T>
struct Channels;

template <>
struct Channels<float> {
  static GEAR_INLINE void read(const float* from, Floats& first, Floats& second) {
    load(from, first);
    load(from + kLanes, second);
  }
  /// Where channel c of 16 goes.
  static GEAR_INLINE int place(int c) { return c; }
};

/// Those with an even number, then the others: as they lie in words.
template <>
struct Channels<c10::BFloat16> {
  static GEAR_INLINE void read(const c10::BFloat16* from, Floats& even, Floats& odd) {
    const Words words = reinterpret_cast<const UnalignedWords&>(*from);
    split_halves(words, even, odd);
  }
  static GEAR_INLINE int place(int c) { return c % 2 * kLanes + c / 2; }
};

/// To the order of the vectors, whole groups of 16; what is left stays.
template <class T>
GEAR_INLINE void arrange(const float* from, int64_t width, float* to) {
  int64_t c = 0;
  for (; c + kChannels <= width; c += kChannels) {
    for (int i = 0; i < kChannels; ++i) to[c + Channels<T>::place(i)] = from[c + i];
  }
  for (; c < width; ++c) to[c] = from[c];
}

/// scores[i] = <query, keys[i]> for kKeys keys; query in the order of the vectors.
template <int kKeys, class T>
GEAR_INLINE void score_keys(const float* query, const T* keys, int64_t width, float* scores) {
  Floats sum[kKeys] = {};
  int64_t c = 0;
  for (; c + kChannels <= width; c += kChannels) {
    Floats query_first, query_second;
    Channels<float>::read(query + c, query_first, query_second);
#pragma GCC unroll 4
    for (int i = 0; i < kKeys; ++i) {
      Floats first, second;
      Channels<T>::read(keys + i * width + c, first, second);
      sum[i] += query_first * first;
      sum[i] += query_second * second;
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kKeys; ++i) scores[i] = sum_of(sum[i]);
  for (; c < width; ++c) {
    for (int i = 0; i < kKeys; ++i) scores[i] += query[c] * widen(keys[i * width + c]);
  }
}

template <class T>
GEAR_VECTOR_CLONES void score(const float* query, const T* keys, int64_t count, int64_t width,
                              float* scores) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) score_keys<4>(query, keys + i * width, width, scores + i);
  for (; i < count; ++i) score_keys<1>(query, keys + i * width, width, scores + i);
}

/// Scores become weights e^(score - largest); returns their sum.
inline GEAR_VECTOR_CLONES float exponentials(float* scores, int64_t count) {
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

/// Weighted rows of values, each a head of `width` channels.
template <class T>
struct WeightedValues {
  const float* weights;  // [n]
  const T* values;       // [n, d]
  int64_t count, width;
  float factor;  // on the sum
};

/// out = factor * sum of weights[i] * values[i], in kGroups * 16 channels from `channel` on: the
/// sums stay in registers.
template <int kGroups, class T>
GEAR_INLINE void mix_channels(const WeightedValues<T>& of, int64_t channel, float* out) {
  Floats sum[2 * kGroups] = {};
  for (int64_t i = 0; i < of.count; ++i) {
    const T* values = of.values + i * of.width + channel;
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      Floats first, second;
      Channels<T>::read(values + g * kChannels, first, second);
      sum[2 * g] += first * of.weights[i];
      sum[2 * g + 1] += second * of.weights[i];
    }
  }
  float in_vectors[kGroups * kChannels];
#pragma GCC unroll 8
  for (int v = 0; v < 2 * kGroups; ++v) store(sum[v] * of.factor, in_vectors + v * kLanes);
  for (int c = 0; c < kGroups * kChannels; ++c) {
    out[channel + c] = in_vectors[c / kChannels * kChannels + Channels<T>::place(c % kChannels)];
  }
}

/// The same for the last channels, fewer than 16.
template <class T>
GEAR_INLINE void mix_rest(const WeightedValues<T>& of, int64_t channel, float* out) {
  float sum[kChannels] = {};
  for (int64_t i = 0; i < of.count; ++i) {
    const T* values = of.values + i * of.width;
    for (int64_t c = channel; c < of.width; ++c) {
      sum[c - channel] += of.weights[i] * widen(values[c]);
    }
  }
  for (int64_t c = channel; c < of.width; ++c) out[c] = sum[c - channel] * of.factor;
}

template <class T>
GEAR_VECTOR_CLONES void mix(WeightedValues<T> of, float* out) {
  int64_t c = 0;
  for (; c + 4 * kChannels <= of.width; c += 4 * kChannels) mix_channels<4>(of, c, out);
  for (; c + kChannels <= of.width; c += kChannels) mix_channels<1>(of, c, out);
  if (c < of.width) mix_rest(of, c, out);
}

}  // namespace gear::ops::cpu
