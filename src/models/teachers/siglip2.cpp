#include "gear/models/teachers/siglip2.h"

#include "gear/models/teachers/pixels.h"

// B batch, S image side, g grid side, N = g^2 patches, D width, H heads, d = D / H

namespace gear::models {

Siglip2Config siglip2_config(const std::string& size, int64_t grid) {
  if (size == "b") return {.dim = 768, .depth = 12, .heads = 12, .hidden = 3072, .grid = grid};
  if (size == "l") return {.dim = 1024, .depth = 24, .heads = 16, .hidden = 4096, .grid = grid};
  if (size == "so400m") {
    return {.dim = 1152, .depth = 27, .heads = 16, .hidden = 4304, .grid = grid};
  }
  fail("SigLIP 2 has the sizes b, l and so400m, got ", size);
}

Siglip2EmbeddingsImpl::Siglip2EmbeddingsImpl(const Siglip2Config& config)
    : patch_embedding(register_module(
          "patch_embedding",
          torch::nn::Conv2d(
              torch::nn::Conv2dOptions(3, config.dim, config.patch).stride(config.patch)))),
      position_embedding(register_module(
          "position_embedding", torch::nn::Embedding(config.grid * config.grid, config.dim))) {}

Tensor Siglip2EmbeddingsImpl::forward(const Tensor& pixels) {
  const auto patches = patch_embedding(pixels).flatten(2).transpose(1, 2);  // [B, N, D]
  return patches + position_embedding->weight;
}

Siglip2AttentionImpl::Siglip2AttentionImpl(const Siglip2Config& config)
    : heads(config.heads),
      k_proj(register_module("k_proj", torch::nn::Linear(config.dim, config.dim))),
      v_proj(register_module("v_proj", torch::nn::Linear(config.dim, config.dim))),
      q_proj(register_module("q_proj", torch::nn::Linear(config.dim, config.dim))),
      out_proj(register_module("out_proj", torch::nn::Linear(config.dim, config.dim))) {}

Tensor Siglip2AttentionImpl::forward(const Tensor& x) {
  const auto by_head = [&](torch::nn::Linear& projection) {
    return projection(x).unflatten(-1, {heads, -1});  // [B, N, H, d]
  };
  return out_proj(attend(by_head(q_proj), by_head(k_proj), by_head(v_proj)));
}

Siglip2BlockImpl::Siglip2BlockImpl(const Siglip2Config& config)
    : layer_norm1(register_module("layer_norm1", layer_norm(config.dim, config.norm_eps))),
      self_attn(register_module("self_attn", Siglip2Attention(config))),
      layer_norm2(register_module("layer_norm2", layer_norm(config.dim, config.norm_eps))),
      mlp(register_module("mlp",
                          std::make_shared<GeluMlp>(config.dim, config.hidden, Gelu::kTanh))) {}

Tensor Siglip2BlockImpl::forward(const Tensor& x) {
  const auto mixed = x + self_attn(layer_norm1(x));
  return mixed + mlp->forward(layer_norm2(mixed));
}

Siglip2EncoderImpl::Siglip2EncoderImpl(const Siglip2Config& config)
    : layers(register_module("layers", torch::nn::ModuleList())) {
  for (int64_t i = 0; i < config.depth; ++i) layers->push_back(Siglip2Block(config));
}

Siglip2::Siglip2(const Siglip2Config& config)
    : VitTeacher({.dim = config.dim, .depth = config.depth, .special = 0, .layer = config.layer}),
      embeddings(register_module("embeddings", Siglip2Embeddings(config))),
      encoder(register_module("encoder", Siglip2Encoder(config))),
      post_layernorm(register_module("post_layernorm", layer_norm(config.dim, config.norm_eps))),
      config_(config) {}

Tensor Siglip2::preprocess(const Tensor& images_u8) const {
  return normalize_pixels(unit_pixels(images_u8), kCentredPixels);
}

Tensor Siglip2::hidden(const Tensor& pixels, int64_t count) {
  expect_block(count);
  auto x = embeddings(pixels);  // [B, N, D]
  for (int64_t i = 0; i < count; ++i) {
    x = encoder->layers->at<Siglip2BlockImpl>(static_cast<size_t>(i)).forward(x);
  }
  return x;
}

}  // namespace gear::models
