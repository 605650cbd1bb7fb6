#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include "gear/models/tokenizers/tokenizer.h"
#include "gear/nn/conv_blocks.h"

// B batch, S image side, h w token grid, D code width
// The LlamaGen VQGAN (arXiv:2406.06525). Registered names are those of its published checkpoints.

namespace gear::models {

enum class Resample { kNone, kDown, kUp };

struct VqLevelOptions {
  int64_t in = 0;
  int64_t out = 0;
  int64_t num_blocks = 0;
  bool attention = false;  ///< an attention block after each residual block
  Resample resample = Resample::kNone;
  double dropout = 0.0;
};

/// The blocks that work at one resolution, then the step to the next one.
struct VqLevelImpl : torch::nn::Module {
  explicit VqLevelImpl(const VqLevelOptions& options);

  Tensor forward(Tensor x);  // [B, in, H, W] -> [B, out, H', W']

  torch::nn::ModuleList res, attn;
  nn::Downsample downsample{nullptr};
  nn::Upsample upsample{nullptr};
};
TORCH_MODULE(VqLevel);

/// Residual, attention and residual block at the smallest resolution.
struct VqMiddleImpl : torch::nn::Module {
  VqMiddleImpl(int64_t channels, double dropout);

  Tensor forward(const Tensor& x);  // [B, C, h, w], same out

  nn::ResBlock first;
  nn::AttnBlock attention;
  nn::ResBlock last;
};
TORCH_MODULE(VqMiddle);

struct VqEncoderImpl : torch::nn::Module {
  explicit VqEncoderImpl(const TokenizerConfig& config);

  Tensor forward(const Tensor& images);  // [B, 3, S, S] -> [B, z_channels, h, w]

  torch::nn::Conv2d conv_in;
  torch::nn::ModuleList conv_blocks;
  VqMiddle mid;
  torch::nn::GroupNorm norm_out;
  torch::nn::Conv2d conv_out;
};
TORCH_MODULE(VqEncoder);

/// Its conv_blocks are numbered in the order of execution: 0 is the widest.
struct VqDecoderImpl : torch::nn::Module {
  explicit VqDecoderImpl(const TokenizerConfig& config);

  Tensor forward(const Tensor& z);  // [B, z_channels, h, w] -> [B, 3, S, S]

  torch::nn::Conv2d conv_in;
  VqMiddle mid;
  torch::nn::ModuleList conv_blocks;
  torch::nn::GroupNorm norm_out;
  torch::nn::Conv2d conv_out;
};
TORCH_MODULE(VqDecoder);

class VqTokenizer final : public Tokenizer {
 public:
  explicit VqTokenizer(const TokenizerConfig& config);

  Tokenized forward(const Tensor& images) override;
  Tensor encode(const Tensor& images) override;
  Tensor decode(const Tensor& z_q) override;
  Quantizer& quantizer() override { return *quantize; }
  const TokenizerConfig& config() const override { return config_; }

  VqEncoder encoder;
  VqDecoder decoder;
  std::shared_ptr<Quantizer> quantize;
  torch::nn::Conv2d quant_conv, post_quant_conv;

 private:
  TokenizerConfig config_;
};

}  // namespace gear::models
