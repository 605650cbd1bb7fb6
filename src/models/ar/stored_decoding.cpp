#include "models/ar/stored_decoding.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/zeros.h>

#include <utility>

#include "gear/ops/cached_attention.h"

// R rows decoded together, D model width

namespace gear::models {

StoredDecoding::Workspace::Workspace(const ArConfig& config, int64_t rows, c10::Device device) {
  const auto space = [&](int64_t width) {
    return at::empty({rows, width}, at::TensorOptions(device).dtype(at::kFloat));
  };
  const int64_t heads_width = config.heads * config.head_dim();
  hidden = space(config.dim);
  normed = space(config.dim);
  qkv = space(heads_width + 2 * config.num_kv_heads() * config.head_dim());
  attended = space(heads_width);
  gated = space(config.ffn_dim());
  logits = space(config.vocab_size);
}

void StoredDecoding::Workspace::keep_first(int64_t rows) {
  for (Tensor* tensor : {&hidden, &normed, &qkv, &attended, &gated, &logits}) {
    *tensor = tensor->narrow(0, 0, rows);
  }
}

StoredDecoding::StoredDecoding(const ArModel& model, std::shared_ptr<const StoredWeights> weights,
                               int64_t rows, at::ScalarType cache_type)
    : model_(model),
      weights_(std::move(weights)),
      cache_(model_->config(), rows, weights_->norm.device(), cache_type),
      rotary_(model_->rotary_table(weights_->norm.device())),
      position_(at::zeros({}, weights_->norm.options().dtype(at::kLong))),
      work_(model_->config(), rows, weights_->norm.device()) {}

Tensor StoredDecoding::prefill(const Tensor& labels) {
  TORCH_CHECK(cache_.length() == 0, "StoredDecoding: prefill needs an empty cache");
  const at::NoGradGuard no_grad;
  work_.hidden.copy_(model_->embed_labels(labels).squeeze(1));  // [R, 1, D] -> [R, D]
  return advance();
}

Tensor StoredDecoding::prefill(const TextCondition& text) {
  const at::NoGradGuard no_grad;
  // So many positions at once are bound by arithmetic, and their text stream has weights of its
  // own.
  const auto logits = model_->prefill(text, cache_);
  position_.fill_(cache_.length());
  return logits;
}

Tensor StoredDecoding::step(const Tensor& ids) {
  TORCH_CHECK(cache_.length() > 0, "StoredDecoding: prefill comes first");
  const at::NoGradGuard no_grad;
  at::index_select_out(work_.hidden, model_->tok_embeddings->weight, 0, ids);
  return advance();
}

void StoredDecoding::keep_first(int64_t rows) {
  cache_.keep_first(rows);
  work_.keep_first(rows);
  blocks_.forget();
}

Tensor StoredDecoding::advance() {
  TORCH_CHECK(cache_.length() < model_->config().prefix() + model_->config().num_tokens,
              "StoredDecoding: all tokens have been decoded");
  blocks_.run(position_.device(), [this] { run_blocks(); });
  cache_.extend(1);
  return work_.logits;
}

void StoredDecoding::run_blocks() {
  const double eps = model_->config().norm_eps;
  for (size_t i = 0; i < weights_->blocks.size(); ++i) {
    run_block(weights_->blocks[i], cache_.layer(static_cast<int64_t>(i)));
  }
  ops::few_row_rms_norm(work_.hidden, weights_->norm, eps, work_.normed);
  ops::few_row_linear(work_.normed, weights_->output, work_.logits);
  position_.add_(1);
}

void StoredDecoding::run_block(const StoredBlock& block, const KvLayer& cached) {
  const double eps = model_->config().norm_eps;
  ops::few_row_rms_norm(work_.hidden, block.attention_norm, eps, work_.normed);
  ops::few_row_linear(work_.normed, block.wqkv, work_.qkv);
  ops::cached_attention(work_.qkv, position_,
                        {.keys = cached.key_memory(),
                         .values = cached.value_memory(),
                         .rotary = rotary_,
                         .visible = cache_.visible().value_or(Tensor())},
                        work_.attended);
  ops::few_row_linear(work_.attended, block.wo, work_.hidden, ops::Into::kAdd);
  ops::few_row_rms_norm(work_.hidden, block.ffn_norm, eps, work_.normed);
  ops::few_row_swiglu(work_.normed, block.w1, block.w3, work_.gated);
  ops::few_row_linear(work_.gated, block.w2, work_.hidden, ops::Into::kAdd);
}

}  // namespace gear::models
