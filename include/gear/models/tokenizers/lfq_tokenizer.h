#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>

#include "gear/models/tokenizers/tokenizer.h"
#include "gear/nn/conv_blocks.h"

// B batch, S image side, h w token grid, D code width, C channels, H W pixels
// The MAGVIT2 autoencoder of Open-MAGVIT2 (arXiv:2409.04410) for look-up free quantisation, grouped
// or not. Registered names are those of its published checkpoints. Levels are numbered from the
// full resolution in both halves. There is no attention, and most convolutions have no bias.

namespace gear::models {

/// Doubles the size: 3x3 convolution to 4 C channels, then channel (2 a + b) C + j of a pixel (y,
/// x) becomes channel j of pixel (2 y + a, 2 x + b).
struct DepthToSpaceImpl : torch::nn::Module {
  explicit DepthToSpaceImpl(int64_t channels);

  Tensor forward(const Tensor& x);  // [B, C, H, W] -> [B, C, 2 H, 2 W]

  nn::Convolution conv1;
};
TORCH_MODULE(DepthToSpace);

/// Group norm whose scale and shift follow from the decoder's input: of each of its channels the
/// deviation over the grid (unbiased variance plus 1e-6) sets the scale, the mean the shift.
struct AdaptiveGroupNormImpl : torch::nn::Module {
  AdaptiveGroupNormImpl(int64_t code_dim, int64_t channels);

  Tensor forward(const Tensor& x, const Tensor& z_q);  // [B, C, H, W] and [B, D, h, w] -> as x

  torch::nn::Linear gamma, beta;
};
TORCH_MODULE(AdaptiveGroupNorm);

struct LfqLevelOptions {
  int64_t in = 0;
  int64_t out = 0;
  int64_t num_blocks = 0;
  nn::Resample resample = nn::Resample::kNone;
  bool recompute = false;  ///< see nn::ResBlockOptions
};

/// The residual blocks of one level, then the step to the next one.
struct LfqLevelImpl : torch::nn::Module {
  explicit LfqLevelImpl(const LfqLevelOptions& options);

  Tensor forward(Tensor x);  // [B, in, H, W] -> [B, out, H', W']

  torch::nn::ModuleList block;
  torch::nn::Conv2d downsample{nullptr};
  DepthToSpace upsample{nullptr};
};
TORCH_MODULE(LfqLevel);

struct LfqEncoderImpl : torch::nn::Module {
  explicit LfqEncoderImpl(const TokenizerConfig& config);

  Tensor forward(const Tensor& images);  // [B, 3, S, S] -> [B, D, h, w]

  nn::Convolution conv_in;
  torch::nn::ModuleList down, mid_block;
  torch::nn::GroupNorm norm_out;
  nn::Convolution conv_out;
};
TORCH_MODULE(LfqEncoder);

struct LfqDecoderImpl : torch::nn::Module {
  explicit LfqDecoderImpl(const TokenizerConfig& config);

  Tensor forward(const Tensor& z_q);  // [B, D, h, w] -> [B, 3, S, S]

  nn::Convolution conv_in;
  torch::nn::ModuleList mid_block, up, adaptive;
  torch::nn::GroupNorm norm_out;
  nn::Convolution conv_out;
};
TORCH_MODULE(LfqDecoder);

class LfqTokenizer final : public Tokenizer {
 public:
  explicit LfqTokenizer(const TokenizerConfig& config);

  Tensor encode(const Tensor& images) override;
  Tensor decode(const Tensor& z_q) override;
  Quantizer& quantizer() override { return *quantize; }
  const TokenizerConfig& config() const override { return config_; }

  LfqEncoder encoder;
  LfqDecoder decoder;
  std::shared_ptr<Quantizer> quantize;

 private:
  TokenizerConfig config_;
};

}  // namespace gear::models
