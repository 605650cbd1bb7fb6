#include "gear/models/tokenizers/lfq_tokenizer.h"

#include <algorithm>

#include "gear/nn/autocast.h"
#include "gear/ops/group_norm.h"

namespace gear::models {
namespace {

torch::nn::ModuleList res_blocks(const LfqLevelOptions& options) {
  torch::nn::ModuleList blocks;
  for (int64_t j = 0; j < options.num_blocks; ++j) {
    blocks->push_back(nn::ResBlock(nn::ResBlockOptions{.in = j == 0 ? options.in : options.out,
                                                       .out = options.out,
                                                       .bias = false,
                                                       .norms_first = true,
                                                       .recompute = options.recompute}));
  }
  return blocks;
}

torch::nn::ModuleList middle_blocks(int64_t channels, const TokenizerConfig& config) {
  return res_blocks({.in = channels,
                     .out = channels,
                     .num_blocks = config.num_res_blocks,
                     .recompute = config.activation_checkpointing});
}

Tensor run_blocks(torch::nn::ModuleList& blocks, Tensor x) {
  for (const auto& block : *blocks) x = block->as<nn::ResBlock>()->forward(x);
  return x;
}

/// Whether the size changes between levels `i` and `i + 1`; the smallest ones may share it.
bool halves_after(const TokenizerConfig& config, size_t i) {
  return i + 1 < config.ch_mult.size() && (int64_t{1} << i) < config.downsampling();
}

torch::nn::ModuleList encoder_levels(const TokenizerConfig& config) {
  torch::nn::ModuleList levels;
  int64_t in = config.ch;
  for (size_t i = 0; i < config.ch_mult.size(); ++i) {
    const int64_t out = config.ch * config.ch_mult[i];
    const auto resample = halves_after(config, i) ? nn::Resample::kDown : nn::Resample::kNone;
    levels->push_back(LfqLevel(LfqLevelOptions{.in = in,
                                               .out = out,
                                               .num_blocks = config.num_res_blocks,
                                               .resample = resample,
                                               .recompute = config.activation_checkpointing}));
    in = out;
  }
  return levels;
}

/// Width of the map that enters a decoder level: that of the next smaller level.
int64_t decoder_level_in(const TokenizerConfig& config, size_t i) {
  const auto& multipliers = config.decoder_levels();
  return config.ch * multipliers[std::min(i + 1, multipliers.size() - 1)];
}

torch::nn::ModuleList decoder_levels(const TokenizerConfig& config) {
  torch::nn::ModuleList levels;
  for (size_t i = 0; i < config.ch_mult.size(); ++i) {
    const bool doubles = i > 0 && halves_after(config, i - 1);
    levels->push_back(
        LfqLevel(LfqLevelOptions{.in = decoder_level_in(config, i),
                                 .out = config.ch * config.decoder_levels()[i],
                                 .num_blocks = config.num_res_blocks,
                                 .resample = doubles ? nn::Resample::kUp : nn::Resample::kNone,
                                 .recompute = config.activation_checkpointing}));
  }
  return levels;
}

torch::nn::ModuleList adaptive_norms(const TokenizerConfig& config) {
  torch::nn::ModuleList norms;
  for (size_t i = 0; i < config.ch_mult.size(); ++i) {
    norms->push_back(AdaptiveGroupNorm(config.quantizer.codebook_dim, decoder_level_in(config, i)));
  }
  return norms;
}

}  // namespace

DepthToSpaceImpl::DepthToSpaceImpl(int64_t channels)
    : conv1(register_module("conv1", nn::conv3x3(channels, 4 * channels))) {}

Tensor DepthToSpaceImpl::forward(const Tensor& x) {
  const auto wide = conv1(x);  // [B, 4 C, H, W]
  const int64_t batch = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  return wide.view({batch, 2, 2, channels, height, width})
      .permute({0, 4, 1, 5, 2, 3})  // [B, H, 2, W, 2, C]
      .reshape({batch, 2 * height, 2 * width, channels})
      .permute({0, 3, 1, 2})
      .contiguous(wide.suggest_memory_format());
}

AdaptiveGroupNormImpl::AdaptiveGroupNormImpl(int64_t code_dim, int64_t channels)
    : gamma(register_module("gamma", torch::nn::Linear(code_dim, channels))),
      beta(register_module("beta", torch::nn::Linear(code_dim, channels))) {}

Tensor AdaptiveGroupNormImpl::forward(const Tensor& x, const Tensor& z_q) {
  constexpr int64_t kGroups = 32;
  constexpr double kEps = 1e-6;
  const auto per_channel = z_q.flatten(2);  // [B, D, h w]
  const auto deviation = (per_channel.var({2}, /*unbiased=*/true, /*keepdim=*/false) + kEps).sqrt();
  const auto scale = gamma(deviation).unsqueeze(2).unsqueeze(3);  // [B, C, 1, 1]
  const auto shift = beta(per_channel.mean(2)).unsqueeze(2).unsqueeze(3);
  return ops::group_norm(x, /*weight=*/{}, /*bias=*/{}, {.groups = kGroups, .eps = kEps}) * scale +
         shift;
}

LfqLevelImpl::LfqLevelImpl(const LfqLevelOptions& options)
    : block(register_module("block", res_blocks(options))) {
  if (options.resample == nn::Resample::kDown) {
    downsample = register_module(
        "downsample",
        torch::nn::Conv2d(
            torch::nn::Conv2dOptions(options.out, options.out, 3).stride(2).padding(1)));
  } else if (options.resample == nn::Resample::kUp) {
    upsample = register_module("upsample", DepthToSpace(options.out));
  }
}

Tensor LfqLevelImpl::forward(Tensor x) {
  x = run_blocks(block, x);
  if (downsample) x = downsample(x);
  if (upsample) x = upsample(x);
  return x;
}

LfqEncoderImpl::LfqEncoderImpl(const TokenizerConfig& config)
    : conv_in(register_module("conv_in", nn::conv3x3(3, config.ch, /*bias=*/false))),
      down(register_module("down", encoder_levels(config))),
      mid_block(register_module("mid_block", middle_blocks(config.encoder_out(), config))),
      norm_out(register_module("norm_out", nn::group_norm(config.encoder_out()))),
      conv_out(register_module("conv_out",
                               nn::conv1x1(config.encoder_out(), config.quantizer.codebook_dim))) {}

Tensor LfqEncoderImpl::forward(const Tensor& images) {
  auto x = conv_in(images);
  for (const auto& level : *down) x = level->as<LfqLevel>()->forward(x);
  x = run_blocks(mid_block, x);
  return nn::conv_of_swish(conv_out, norm_out, x);
}

LfqDecoderImpl::LfqDecoderImpl(const TokenizerConfig& config)
    : conv_in(register_module("conv_in",
                              nn::conv3x3(config.quantizer.codebook_dim, config.decoder_in()))),
      mid_block(register_module("mid_block", middle_blocks(config.decoder_in(), config))),
      up(register_module("up", decoder_levels(config))),
      adaptive(register_module("adaptive", adaptive_norms(config))),
      norm_out(register_module("norm_out", nn::group_norm(config.decoder_out()))),
      conv_out(register_module("conv_out", nn::conv3x3(config.decoder_out(), 3))) {}

Tensor LfqDecoderImpl::forward(const Tensor& z_q) {
  auto x = run_blocks(mid_block, conv_in(z_q));
  for (size_t i = up->size(); i-- > 0;) {  // from the smallest level up
    x = adaptive[i]->as<AdaptiveGroupNorm>()->forward(x, z_q);
    x = up[i]->as<LfqLevel>()->forward(x);
  }
  return nn::conv_of_swish(conv_out, norm_out, x);
}

LfqTokenizer::LfqTokenizer(const TokenizerConfig& config)
    : encoder(register_module("encoder", LfqEncoder(config))),
      decoder(register_module("decoder", LfqDecoder(config))),
      quantize(register_module("quantize", make_quantizer(config.quantizer))),
      config_(config) {
  tell_built();
}

Tensor LfqTokenizer::encode(const Tensor& images) {
  expect_whole_tokens(images);
  return nn::to_full_precision(encoder(images));
}

Tensor LfqTokenizer::decode(const Tensor& z_q) {
  if (z_q.size(2) * z_q.size(3) < 2) {
    fail(
        "tokenizer: a latent of 1 x 1 has no variance, which the decoder of lfq and glfq scales "
        "by; use images of at least ",
        2 * config_.downsampling(), " pixels");
  }
  return nn::to_full_precision(decoder(z_q));
}

}  // namespace gear::models
