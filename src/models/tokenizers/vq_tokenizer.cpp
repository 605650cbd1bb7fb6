#include "gear/models/tokenizers/vq_tokenizer.h"

#include <algorithm>

#include "gear/nn/autocast.h"

namespace gear::models {
namespace {

constexpr VqNames kLlamaGenNames = {.encoder_levels = "conv_blocks",
                                    .decoder_levels = "conv_blocks",
                                    .residual_blocks = "res",
                                    .middle = {"0", "1", "2"},
                                    .decoder_from_full_size = false};
constexpr VqNames kIbqNames = {.encoder_levels = "down",
                               .decoder_levels = "up",
                               .residual_blocks = "block",
                               .middle = {"block_1", "attn_1", "block_2"},
                               .decoder_from_full_size = true};

const VqNames& names_of(const TokenizerConfig& config) { return vq_names(config.quantizer.kind); }

torch::nn::ModuleList encoder_blocks(const TokenizerConfig& config) {
  torch::nn::ModuleList levels;
  const size_t count = config.ch_mult.size();
  int64_t in = config.ch;
  for (size_t i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    const int64_t out = config.ch * config.ch_mult[i];
    levels->push_back(
        VqLevel(VqLevelOptions{.in = in,
                               .out = out,
                               .num_blocks = config.num_res_blocks,
                               .residual_blocks = names_of(config).residual_blocks,
                               .attention = config.has_attention(i),
                               .resample = last ? nn::Resample::kNone : nn::Resample::kDown,
                               .dropout = config.dropout,
                               .recompute = config.activation_checkpointing}));
    in = out;
  }
  return levels;
}

torch::nn::ModuleList decoder_blocks(const TokenizerConfig& config) {
  std::vector<VqLevel> levels;
  const auto& multipliers = config.decoder_levels();
  int64_t in = config.decoder_in();
  for (size_t i = multipliers.size(); i-- > 0;) {  // from the smallest resolution up
    const int64_t out = config.ch * multipliers[i];
    levels.emplace_back(VqLevelOptions{.in = in,
                                       .out = out,
                                       .num_blocks = config.num_res_blocks + 1,
                                       .residual_blocks = names_of(config).residual_blocks,
                                       .attention = config.has_attention(i),
                                       .resample = i == 0 ? nn::Resample::kNone : nn::Resample::kUp,
                                       .dropout = config.dropout,
                                       .recompute = config.activation_checkpointing});
    in = out;
  }
  if (names_of(config).decoder_from_full_size) std::reverse(levels.begin(), levels.end());
  torch::nn::ModuleList list;
  for (const VqLevel& level : levels) list->push_back(level);
  return list;
}

nn::ResBlockOptions middle_block(int64_t channels, const TokenizerConfig& config) {
  return {.in = channels,
          .out = channels,
          .dropout = config.dropout,
          .recompute = config.activation_checkpointing};
}

Tensor run_levels(torch::nn::ModuleList& levels, Tensor x, bool backwards) {
  const size_t count = levels->size();
  for (size_t i = 0; i < count; ++i) {
    x = levels[backwards ? count - 1 - i : i]->as<VqLevel>()->forward(x);
  }
  return x;
}

}  // namespace

const VqNames& vq_names(QuantizerKind kind) {
  return kind == QuantizerKind::kIbq ? kIbqNames : kLlamaGenNames;
}

VqLevelImpl::VqLevelImpl(const VqLevelOptions& options)
    : res(register_module(options.residual_blocks, torch::nn::ModuleList())),
      attn(register_module("attn", torch::nn::ModuleList())) {
  for (int64_t j = 0; j < options.num_blocks; ++j) {
    res->push_back(nn::ResBlock(nn::ResBlockOptions{.in = j == 0 ? options.in : options.out,
                                                    .out = options.out,
                                                    .dropout = options.dropout,
                                                    .recompute = options.recompute}));
    if (options.attention) attn->push_back(nn::AttnBlock(options.out, options.recompute));
  }
  if (options.resample == nn::Resample::kDown) {
    downsample = register_module("downsample", nn::Downsample(options.out));
  } else if (options.resample == nn::Resample::kUp) {
    upsample = register_module("upsample", nn::Upsample(options.out));
  }
}

Tensor VqLevelImpl::forward(Tensor x) {
  for (size_t j = 0; j < res->size(); ++j) {
    x = res[j]->as<nn::ResBlock>()->forward(x);
    if (!attn->is_empty()) x = attn[j]->as<nn::AttnBlock>()->forward(x);
  }
  if (downsample) x = downsample(x);
  if (upsample) x = upsample(x);
  return x;
}

VqMiddleImpl::VqMiddleImpl(int64_t channels, const TokenizerConfig& config)
    : first(middle_block(channels, config)),
      attention(channels, config.activation_checkpointing),
      last(middle_block(channels, config)) {
  const auto& names = names_of(config).middle;
  register_module(names[0], first);
  register_module(names[1], attention);
  register_module(names[2], last);
}

Tensor VqMiddleImpl::forward(const Tensor& x) { return last(attention(first(x))); }

VqEncoderImpl::VqEncoderImpl(const TokenizerConfig& config)
    : conv_in(register_module("conv_in", nn::conv3x3(3, config.ch))),
      conv_blocks(register_module(names_of(config).encoder_levels, encoder_blocks(config))),
      mid(register_module("mid", VqMiddle(config.encoder_out(), config))),
      norm_out(register_module("norm_out", nn::group_norm(config.encoder_out()))),
      conv_out(register_module("conv_out", nn::conv3x3(config.encoder_out(), config.z_channels))) {}

Tensor VqEncoderImpl::forward(const Tensor& images) {
  auto x = mid(run_levels(conv_blocks, conv_in(images), /*backwards=*/false));
  return nn::conv_of_swish(conv_out, norm_out, x);
}

VqDecoderImpl::VqDecoderImpl(const TokenizerConfig& config)
    : from_full_size(names_of(config).decoder_from_full_size),
      conv_in(register_module("conv_in", nn::conv3x3(config.z_channels, config.decoder_in()))),
      mid(register_module("mid", VqMiddle(config.decoder_in(), config))),
      conv_blocks(register_module(names_of(config).decoder_levels, decoder_blocks(config))),
      norm_out(register_module("norm_out", nn::group_norm(config.decoder_out()))),
      conv_out(register_module("conv_out", nn::conv3x3(config.decoder_out(), 3))) {}

Tensor VqDecoderImpl::forward(const Tensor& z) {
  auto x = run_levels(conv_blocks, mid(conv_in(z)), /*backwards=*/from_full_size);
  return nn::conv_of_swish(conv_out, norm_out, x);
}

VqTokenizer::VqTokenizer(const TokenizerConfig& config)
    : encoder(register_module("encoder", VqEncoder(config))),
      decoder(register_module("decoder", VqDecoder(config))),
      quantize(register_module("quantize", make_quantizer(config.quantizer))),
      quant_conv(register_module("quant_conv",
                                 nn::conv1x1(config.z_channels, config.quantizer.codebook_dim))),
      post_quant_conv(register_module(
          "post_quant_conv", nn::conv1x1(config.quantizer.codebook_dim, config.z_channels))),
      config_(config) {
  tell_built();
}

Tensor VqTokenizer::encode(const Tensor& images) {
  expect_whole_tokens(images);
  return nn::to_full_precision(quant_conv(encoder(images)));
}

Tensor VqTokenizer::decode(const Tensor& z_q) {
  return nn::to_full_precision(decoder(post_quant_conv(z_q)));
}

}  // namespace gear::models
