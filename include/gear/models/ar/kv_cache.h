#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/models/ar/ar_config.h"

// B rows decoded together, H key/value heads, d head width, S capacity in positions

namespace gear::models {

/// Keys and values of one block at the positions decoded so far, in memory allocated once.
class KvLayer {
 public:
  KvLayer(at::IntArrayRef sizes, const at::TensorOptions& options);

  /// Writes keys and values [B, H, n, d] behind those already there.
  void append(const Tensor& keys, const Tensor& values);

  Tensor keys() const { return keys_.narrow(2, 0, length_); }      // [B, H, length, d], a view
  Tensor values() const { return values_.narrow(2, 0, length_); }  // [B, H, length, d], a view
  int64_t length() const { return length_; }
  void keep_first(int64_t rows);

  /// [B, H, S, d], all of the memory. Who writes there himself says how many positions.
  const Tensor& key_memory() const { return keys_; }
  const Tensor& value_memory() const { return values_; }
  void extend(int64_t positions) { length_ += positions; }

 private:
  Tensor keys_, values_;  // [B, H, S, d]
  int64_t length_ = 0;
};

/// Decoding state of a transformer for a fixed number of rows.
class KvCache {
 public:
  /// Room for the condition and all L tokens. `dtype` is that of the attention: bfloat16 under
  /// autocast, so that nothing is converted at every step.
  KvCache(const ArConfig& config, int64_t rows, c10::Device device,
          at::ScalarType dtype = at::kFloat);

  KvLayer& layer(int64_t block) { return layers_[static_cast<size_t>(block)]; }
  int64_t length() const { return layers_.front().length(); }  // positions decoded so far
  int64_t capacity() const { return capacity_; }
  int64_t rows() const { return layers_.front().keys().size(0); }
  /// Forgets all rows but the first ones, without moving them.
  void keep_first(int64_t rows);
  /// Counts positions that somebody else wrote into the memory of every layer.
  void extend(int64_t positions);

  /// Hides captions' padding from all that is decoded later; valid [B, T] (TextCondition).
  void hide_padding(const Tensor& valid);
  /// Mask of the next position over itself and the cache, bool [B, 1, 1, length + 1]; none where
  /// nothing is hidden.
  std::optional<Tensor> mask_of_next() const;
  /// Positions that later ones may attend to, bool [B, S]; none: all.
  const std::optional<Tensor>& visible() const { return visible_; }

 private:
  int64_t capacity_;
  std::optional<Tensor> visible_;  // bool [B, S]; none: nothing is hidden
  std::vector<KvLayer> layers_;
};

}  // namespace gear::models
