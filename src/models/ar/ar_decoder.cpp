#include "gear/models/ar/ar_decoder.h"

#include <ATen/core/grad_mode.h>

#include <utility>

#include "gear/core/error.h"
#include "gear/models/ar/kv_cache.h"
#include "models/ar/stored_decoding.h"

// R rows decoded together, D model width

namespace gear::models {
namespace {

/// With the network's own layers.
class PlainDecoding : public Decoding {
 public:
  PlainDecoding(const ArModel& model, int64_t rows)
      : model_(model), cache_(model_->config(), rows, model_->output->weight.device()) {}

  Tensor prefill(const Tensor& labels) override { return model_->prefill(labels, cache_); }
  Tensor prefill(const TextCondition& text) override { return model_->prefill(text, cache_); }
  Tensor step(const Tensor& ids) override { return model_->decode_step(ids, cache_); }
  void keep_first(int64_t rows) override { cache_.keep_first(rows); }
  int64_t rows() const override { return cache_.rows(); }

 private:
  ArModel model_;
  KvCache cache_;
};

StoredWeights stored(ArModel model, ops::WeightFormat format) {
  const auto weight = [&](const std::string& name, const torch::nn::Linear& layer) {
    return with_context(name + ".weight", [&] { return store_weight(layer->weight, format); });
  };
  StoredWeights weights;
  for (int64_t i = 0; i < model->config().depth; ++i) {
    auto& block = *model->layers->ptr<ArBlockImpl>(static_cast<size_t>(i));
    const std::string name = "layers." + std::to_string(i);
    weights.blocks.push_back({.wqkv = weight(name + ".attention.wqkv", block.attention->wqkv),
                              .wo = weight(name + ".attention.wo", block.attention->wo),
                              .w1 = weight(name + ".feed_forward.w1", block.feed_forward->w1),
                              .w3 = weight(name + ".feed_forward.w3", block.feed_forward->w3),
                              .w2 = weight(name + ".feed_forward.w2", block.feed_forward->w2),
                              .attention_norm = block.attention_norm->weight.detach(),
                              .ffn_norm = block.ffn_norm->weight.detach()});
  }
  weights.norm = model->norm->weight.detach();
  weights.output = weight("output", model->output);
  ops::lay_out(weights.in_reading_order());
  return weights;
}

}  // namespace

std::vector<ops::StoredWeight*> StoredWeights::in_reading_order() {
  std::vector<ops::StoredWeight*> weights;
  for (StoredBlock& block : blocks) {
    for (auto* weight : {&block.wqkv, &block.wo, &block.w1, &block.w3, &block.w2}) {
      weights.push_back(weight);
    }
  }
  weights.push_back(&output);
  return weights;
}

double StoredWeights::bytes() const {
  double sum = output.bytes() + static_cast<double>(norm.nbytes());
  for (const StoredBlock& block : blocks) {
    for (const auto* weight : {&block.wqkv, &block.wo, &block.w1, &block.w3, &block.w2}) {
      sum += weight->bytes();
    }
    sum += static_cast<double>(block.attention_norm.nbytes() + block.ffn_norm.nbytes());
  }
  return sum;
}

ArDecoder::ArDecoder(const ArModel& model, std::shared_ptr<const StoredWeights> weights,
                     ops::WeightFormat format)
    : model_(model), weights_(std::move(weights)), format_(format) {}

ArDecoder::ArDecoder(const ArModel& model, ops::WeightFormat format)
    : ArDecoder(model, std::make_shared<const StoredWeights>(stored(model, format)), format) {}

ArDecoder ArDecoder::plain(const ArModel& model) {
  return {model, nullptr, ops::WeightFormat::kFloat32};
}

double ArDecoder::step_bytes() const {
  TORCH_CHECK(weights_, "ArDecoder: counts stored weights, and the plain form stores none");
  return weights_->bytes();
}

std::unique_ptr<Decoding> ArDecoder::start(int64_t rows) const {
  if (!weights_) return std::make_unique<PlainDecoding>(model_, rows);
  const bool full = format_ == ops::WeightFormat::kFloat32;
  return std::make_unique<StoredDecoding>(model_, weights_, rows,
                                          full ? at::kFloat : at::kBFloat16);
}

}  // namespace gear::models
