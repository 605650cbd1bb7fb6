#include "gear/models/ar/kv_cache.h"

#include <ATen/ops/empty.h>

#include "gear/models/ar/text_condition.h"

namespace gear::models {

KvLayer::KvLayer(at::IntArrayRef sizes, const at::TensorOptions& options)
    : keys_(at::empty(sizes, options)), values_(at::empty(sizes, options)) {}

void KvLayer::append(const Tensor& keys, const Tensor& values) {
  const int64_t count = keys.size(2);
  TORCH_CHECK(length_ + count <= keys_.size(2), "KvLayer: ", length_, " + ", count,
              " positions exceed the capacity of ", keys_.size(2));
  keys_.narrow(2, length_, count).copy_(keys);
  values_.narrow(2, length_, count).copy_(values);
  length_ += count;
}

void KvLayer::keep_first(int64_t rows) {
  keys_ = keys_.narrow(0, 0, rows);
  values_ = values_.narrow(0, 0, rows);
}

KvCache::KvCache(const ArConfig& config, int64_t rows, c10::Device device, at::ScalarType dtype)
    : capacity_((config.prefix() + config.num_tokens + 7) / 8 * 8) {  // whole vectors for attention
  const std::vector<int64_t> sizes = {rows, config.num_kv_heads(), capacity_, config.head_dim()};
  for (int64_t block = 0; block < config.depth; ++block) {
    layers_.emplace_back(sizes, at::TensorOptions(device).dtype(dtype));
  }
}

void KvCache::keep_first(int64_t rows) {
  for (KvLayer& layer : layers_) layer.keep_first(rows);
  if (visible_) visible_ = visible_->narrow(0, 0, rows);
}

void KvCache::extend(int64_t positions) {
  for (KvLayer& layer : layers_) layer.extend(positions);
}

void KvCache::hide_padding(const Tensor& valid) {
  visible_ = visible_columns(valid, capacity_ - valid.size(1));
}

std::optional<Tensor> KvCache::mask_of_next() const {
  if (!visible_) return std::nullopt;
  return visible_->narrow(1, 0, length() + 1).unsqueeze(1).unsqueeze(1);
}

}  // namespace gear::models
