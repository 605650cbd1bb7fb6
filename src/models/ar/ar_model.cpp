#include "gear/models/ar/ar_model.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#include <torch/nn/init.h>

#include <cmath>

#include "gear/core/error.h"
#include "gear/nn/checkpoint.h"
#include "gear/nn/dropout.h"
#include "gear/nn/linear.h"
#include "gear/nn/rotary.h"
#include "models/ar/draw_matrices.h"

// B batch, P condition prefix length, L tokens per image, n tokens given, K codes, D width

namespace gear::models {
namespace {

int64_t grid_side(const ArConfig& config) {
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(config.num_tokens)));
  if (side * side != config.num_tokens) {
    fail("ArModel: the number of tokens per image must be a square, got ", config.num_tokens);
  }
  return side;
}

ClassEmbedding class_embedding(const ArConfig& config) {
  return ClassEmbedding(config.num_classes + (config.class_dropout > 0.0 ? 1 : 0), config.dim);
}

}  // namespace

ClassEmbeddingImpl::ClassEmbeddingImpl(int64_t rows, int64_t dim)
    : embedding_table(register_module("embedding_table", torch::nn::Embedding(rows, dim))) {}

Tensor ClassEmbeddingImpl::forward(const Tensor& labels) {
  return embedding_table(labels).unsqueeze(1);
}

ArModelImpl::ArModelImpl(const ArConfig& config)
    : cls_embedding(config.text ? nullptr
                                : register_module("cls_embedding", class_embedding(config))),
      caption_embedding(
          config.text
              ? register_module("cls_embedding", CaptionEmbedding(config.text->dim, config.dim))
              : nullptr),
      tok_embeddings(
          register_module("tok_embeddings", torch::nn::Embedding(config.vocab_size, config.dim))),
      layers(register_module("layers", torch::nn::ModuleList())),
      norm(register_module("norm", nn::RmsNorm(config.dim, config.norm_eps))),
      output(register_module("output", nn::linear_no_bias(config.dim, config.vocab_size))),
      config_(config) {
  grid_side(config);  // refuse a wrong number of tokens at once
  const int64_t double_stream_blocks = config.double_stream_blocks();
  for (int64_t i = 0; i < config.depth; ++i) {
    const double share = config.depth > 1 ? static_cast<double>(i) / (config.depth - 1.0) : 0.0;
    const auto streams = i < double_stream_blocks ? Streams::kDouble : Streams::kSingle;
    layers->push_back(ArBlock(config, config.drop_path * share, streams));
  }
  if (cls_embedding) draw_matrices(*cls_embedding, config.init_std);
  if (caption_embedding) draw_matrices(*caption_embedding, config.init_std);
  draw_matrices(*tok_embeddings, config.init_std);
  torch::nn::init::zeros_(output->weight);  // the first cross-entropy is exactly ln K
  tell_built();
}

const Tensor& ArModelImpl::rotary_table(c10::Device device) {
  if (!rotary_.defined() || rotary_.device() != device) {
    rotary_ = nn::rotary_table({.prefix = config_.prefix(),
                                .side = grid_side(config_),
                                .head_dim = config_.head_dim(),
                                .base = config_.rope_base,
                                .zero_prefix = config_.prefix_rope == PrefixRope::kZero})
                  .to(device);
  }
  return rotary_;
}

Tensor ArModelImpl::run_block(int64_t index, const Tensor& h, const ArPositions& positions) {
  auto block = layers->ptr<ArBlockImpl>(static_cast<size_t>(index));
  if (!config_.activation_checkpointing) return block->forward(h, positions);
  return nn::checkpoint(
      [block, positions](const Tensor& x) { return block->forward(x, positions); }, h,
      block->parameters());
}

Tensor ArModelImpl::embed_labels(const Tensor& labels) {
  TORCH_CHECK(!config_.text, "ArModel: this network is conditioned on text, not on classes");
  return cls_embedding(labels);
}

Tensor ArModelImpl::embed_text(const TextCondition& text) {
  TORCH_CHECK(config_.text, "ArModel: this network is conditioned on classes, not on text");
  TORCH_CHECK(text.features.size(1) == config_.text->tokens, "ArModel: captions must have ",
              config_.text->tokens, " positions, got ", text.features.size(1));
  return caption_embedding(text.features);
}

ArOutput ArModelImpl::forward(const Tensor& labels, const Tensor& embeddings,
                              const ArForward& what) {
  return run(embed_labels(labels), embeddings, /*mask=*/std::nullopt, what);
}

ArOutput ArModelImpl::forward(const TextCondition& text, const Tensor& embeddings,
                              const ArForward& what) {
  const auto condition = embed_text(text);
  std::optional<Tensor> mask;
  if (text.valid.defined()) {
    mask = text_attention_mask(text.valid, embeddings.size(1), config_.text->attention);
  }
  return run(condition, embeddings, mask, what);
}

ArOutput ArModelImpl::run(const Tensor& condition, const Tensor& embeddings,
                          const std::optional<Tensor>& mask, const ArForward& what) {
  TORCH_CHECK(embeddings.size(1) <= config_.num_tokens, "ArModel: at most ", config_.num_tokens,
              " tokens, got ", embeddings.size(1));
  TORCH_CHECK(what.tap >= (what.early_exit ? 1 : 0) && what.tap <= config_.depth,
              "ArModel: there is no block ", what.tap, " among ", config_.depth);
  auto h = at::cat({condition, embeddings.to(condition.scalar_type())}, 1);  // [B, P + n, D]
  h = nn::dropout(h, config_.token_dropout, is_training());
  const ArPositions positions = {.rotary = rotary_table(h.device()).narrow(0, 0, h.size(1)),
                                 .mask = mask,
                                 .text = config_.text ? config_.prefix() : 0};
  const int64_t first = config_.prefix() - 1;
  const int64_t predictions = embeddings.size(1) + 1;  // from the last condition position onward

  ArOutput result;
  for (int64_t block = 1; block <= config_.depth; ++block) {
    h = run_block(block - 1, h, positions);
    if (block != what.tap) continue;
    result.tap_hidden = h.narrow(1, first, predictions);
    if (what.early_exit) return result;
  }
  const auto predicting = h.narrow(1, first, predictions);
  if (what.head) {
    result.logits = head(predicting);
  } else {
    result.features = norm(predicting);
  }
  return result;
}

Tensor ArModelImpl::head(const Tensor& h) { return output(norm(h)).to(at::kFloat); }

Tensor ArModelImpl::embed_ids(const Tensor& ids) { return tok_embeddings(ids); }

Tensor ArModelImpl::embed_soft(const ops::Costs& costs, const ops::ReadoutOptions& options) {
  return ops::read_out(costs, tok_embeddings->weight, options).lookup;
}

Tensor ArModelImpl::drop_labels(const Tensor& labels, const Tensor& drop) const {
  TORCH_CHECK(has_null_class() || !drop.any().item<bool>(),
              "ArModel: a model built with class_dropout 0 has no null class");
  return at::where(drop.to(at::kBool), null_class(), labels);
}

Tensor ArModelImpl::prefill(const Tensor& labels, KvCache& cache) {
  TORCH_CHECK(cache.length() == 0, "ArModel: prefill needs an empty cache");
  return advance(embed_labels(labels), /*mask=*/std::nullopt, /*text=*/0, cache);
}

Tensor ArModelImpl::prefill(const TextCondition& text, KvCache& cache) {
  TORCH_CHECK(cache.length() == 0, "ArModel: prefill needs an empty cache");
  const auto condition = embed_text(text);
  std::optional<Tensor> mask;
  if (text.valid.defined()) {
    mask = text_attention_mask(text.valid, /*tokens=*/0, config_.text->attention);
    cache.hide_padding(text.valid);
  }
  return advance(condition, mask, config_.prefix(), cache);
}

Tensor ArModelImpl::decode_step(const Tensor& ids, KvCache& cache) {
  return advance(tok_embeddings(ids).unsqueeze(1), cache.mask_of_next(), /*text=*/0, cache);
}

Tensor ArModelImpl::advance(const Tensor& embeddings, const std::optional<Tensor>& mask,
                            int64_t text, KvCache& cache) {
  TORCH_CHECK(!is_training(), "ArModel: decoding needs eval mode");
  auto h = embeddings;
  const ArPositions positions = {
      .rotary = rotary_table(h.device()).narrow(0, cache.length(), h.size(1)),
      .mask = mask,
      .text = text};
  for (int64_t i = 0; i < config_.depth; ++i) {
    h = layers->ptr<ArBlockImpl>(static_cast<size_t>(i))->forward(h, positions, &cache.layer(i));
  }
  return head(h.select(1, -1));
}

}  // namespace gear::models
