#pragma once

#include <torch/nn/modules/container/modulelist.h>

#include <array>

#include "gear/models/tokenizers/tokenizer.h"
#include "gear/nn/conv_blocks.h"

// B batch, S image side, h w token grid, D code width
// The VQGAN of LlamaGen (arXiv:2406.06525) and of IBQ (arXiv:2412.02692): one network, whose
// published checkpoints name it differently.

namespace gear::models {

/// Registered names, and the order in which the decoder's levels are numbered.
struct VqNames {
  const char* encoder_levels;
  const char* decoder_levels;
  const char* residual_blocks;
  std::array<const char*, 3> middle;
  bool decoder_from_full_size;  ///< level 0 is that of the full size, else the first to run
};
/// IBQ has names of its own; all others are stored as LlamaGen's are.
const VqNames& vq_names(QuantizerKind kind);

struct VqLevelOptions {
  int64_t in = 0;
  int64_t out = 0;
  int64_t num_blocks = 0;
  const char* residual_blocks = "";  ///< registered name of the list
  bool attention = false;            ///< an attention block after each residual block
  nn::Resample resample = nn::Resample::kNone;
  double dropout = 0.0;
  bool recompute = false;  ///< see nn::ResBlockOptions
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
  VqMiddleImpl(int64_t channels, const TokenizerConfig& config);

  Tensor forward(const Tensor& x);  // [B, C, h, w], same out

  nn::ResBlock first;
  nn::AttnBlock attention;
  nn::ResBlock last;
};
TORCH_MODULE(VqMiddle);

struct VqEncoderImpl : torch::nn::Module {
  explicit VqEncoderImpl(const TokenizerConfig& config);

  Tensor forward(const Tensor& images);  // [B, 3, S, S] -> [B, z_channels, h, w]

  nn::Convolution conv_in;
  torch::nn::ModuleList conv_blocks;
  VqMiddle mid;
  torch::nn::GroupNorm norm_out;
  nn::Convolution conv_out;
};
TORCH_MODULE(VqEncoder);

struct VqDecoderImpl : torch::nn::Module {
  explicit VqDecoderImpl(const TokenizerConfig& config);

  Tensor forward(const Tensor& z);  // [B, z_channels, h, w] -> [B, 3, S, S]

  bool from_full_size;  ///< see VqNames
  nn::Convolution conv_in;
  VqMiddle mid;
  torch::nn::ModuleList conv_blocks;
  torch::nn::GroupNorm norm_out;
  nn::Convolution conv_out;
};
TORCH_MODULE(VqDecoder);

class VqTokenizer final : public Tokenizer {
 public:
  explicit VqTokenizer(const TokenizerConfig& config);

  Tensor encode(const Tensor& images) override;
  Tensor decode(const Tensor& z_q) override;
  Quantizer& quantizer() override { return *quantize; }
  const TokenizerConfig& config() const override { return config_; }

  VqEncoder encoder;
  VqDecoder decoder;
  std::shared_ptr<Quantizer> quantize;
  nn::Convolution quant_conv, post_quant_conv;

 private:
  TokenizerConfig config_;
};

}  // namespace gear::models
