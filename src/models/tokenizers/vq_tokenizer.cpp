#include "gear/models/tokenizers/vq_tokenizer.h"

#include <ATen/ops/silu.h>

#include "gear/nn/autocast.h"

namespace gear::models {
namespace {

int64_t encoder_out(const TokenizerConfig& config) { return config.ch * config.ch_mult.back(); }
int64_t decoder_in(const TokenizerConfig& config) {
  return config.ch * config.decoder_levels().back();
}
int64_t decoder_out(const TokenizerConfig& config) {
  return config.ch * config.decoder_levels().front();
}

torch::nn::ModuleList encoder_blocks(const TokenizerConfig& config) {
  torch::nn::ModuleList levels;
  const size_t count = config.ch_mult.size();
  int64_t in = config.ch;
  for (size_t i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    const int64_t out = config.ch * config.ch_mult[i];
    levels->push_back(VqLevel(VqLevelOptions{.in = in,
                                             .out = out,
                                             .num_blocks = config.num_res_blocks,
                                             .attention = last,
                                             .resample = last ? Resample::kNone : Resample::kDown,
                                             .dropout = config.dropout}));
    in = out;
  }
  return levels;
}

torch::nn::ModuleList decoder_blocks(const TokenizerConfig& config) {
  torch::nn::ModuleList levels;
  const auto& multipliers = config.decoder_levels();
  int64_t in = decoder_in(config);
  for (size_t i = multipliers.size(); i-- > 0;) {  // from the smallest resolution up
    const int64_t out = config.ch * multipliers[i];
    levels->push_back(VqLevel(VqLevelOptions{.in = in,
                                             .out = out,
                                             .num_blocks = config.num_res_blocks + 1,
                                             .attention = levels->is_empty(),
                                             .resample = i == 0 ? Resample::kNone : Resample::kUp,
                                             .dropout = config.dropout}));
    in = out;
  }
  return levels;
}

Tensor run_levels(torch::nn::ModuleList& levels, Tensor x) {
  for (const auto& level : *levels) x = level->as<VqLevel>()->forward(x);
  return x;
}

}  // namespace

VqLevelImpl::VqLevelImpl(const VqLevelOptions& options)
    : res(register_module("res", torch::nn::ModuleList())),
      attn(register_module("attn", torch::nn::ModuleList())) {
  for (int64_t j = 0; j < options.num_blocks; ++j) {
    res->push_back(nn::ResBlock(j == 0 ? options.in : options.out, options.out, options.dropout));
    if (options.attention) attn->push_back(nn::AttnBlock(options.out));
  }
  if (options.resample == Resample::kDown) {
    downsample = register_module("downsample", nn::Downsample(options.out));
  } else if (options.resample == Resample::kUp) {
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

VqMiddleImpl::VqMiddleImpl(int64_t channels, double dropout)
    : first(register_module("0", nn::ResBlock(channels, channels, dropout))),
      attention(register_module("1", nn::AttnBlock(channels))),
      last(register_module("2", nn::ResBlock(channels, channels, dropout))) {}

Tensor VqMiddleImpl::forward(const Tensor& x) { return last(attention(first(x))); }

VqEncoderImpl::VqEncoderImpl(const TokenizerConfig& config)
    : conv_in(register_module("conv_in", nn::conv3x3(3, config.ch))),
      conv_blocks(register_module("conv_blocks", encoder_blocks(config))),
      mid(register_module("mid", VqMiddle(encoder_out(config), config.dropout))),
      norm_out(register_module("norm_out", nn::group_norm(encoder_out(config)))),
      conv_out(register_module("conv_out", nn::conv3x3(encoder_out(config), config.z_channels))) {}

Tensor VqEncoderImpl::forward(const Tensor& images) {
  auto x = mid(run_levels(conv_blocks, conv_in(images)));
  return conv_out(at::silu(norm_out(x)));
}

VqDecoderImpl::VqDecoderImpl(const TokenizerConfig& config)
    : conv_in(register_module("conv_in", nn::conv3x3(config.z_channels, decoder_in(config)))),
      mid(register_module("mid", VqMiddle(decoder_in(config), config.dropout))),
      conv_blocks(register_module("conv_blocks", decoder_blocks(config))),
      norm_out(register_module("norm_out", nn::group_norm(decoder_out(config)))),
      conv_out(register_module("conv_out", nn::conv3x3(decoder_out(config), 3))) {}

Tensor VqDecoderImpl::forward(const Tensor& z) {
  auto x = run_levels(conv_blocks, mid(conv_in(z)));
  return conv_out(at::silu(norm_out(x)));
}

VqTokenizer::VqTokenizer(const TokenizerConfig& config)
    : encoder(register_module("encoder", VqEncoder(config))),
      decoder(register_module("decoder", VqDecoder(config))),
      quantize(register_module("quantize", make_quantizer(config.quantizer))),
      quant_conv(register_module("quant_conv",
                                 nn::conv1x1(config.z_channels, config.quantizer.codebook_dim))),
      post_quant_conv(register_module(
          "post_quant_conv", nn::conv1x1(config.quantizer.codebook_dim, config.z_channels))),
      config_(config) {}

Tokenized VqTokenizer::forward(const Tensor& images) {
  auto z = encode(images);
  auto quantized = quantize->forward(z);
  auto reconstruction = decode(quantized.z_q);
  return {.z = z, .quantized = quantized, .reconstruction = reconstruction};
}

Tensor VqTokenizer::encode(const Tensor& images) {
  expect_sizes(images, {-1, 3, -1, -1}, "tokenizer: images");
  const int64_t f = config_.downsampling();
  if (images.size(2) % f != 0 || images.size(3) % f != 0) {
    fail("tokenizer: images have ", images.size(2), " x ", images.size(3), " pixels, but with ",
         config_.ch_mult.size(), " levels both sides must be multiples of ", f,
         "; choose another image size or another tokenizer.ch_mult");
  }
  return nn::to_full_precision(quant_conv(encoder(images)));
}

Tensor VqTokenizer::decode(const Tensor& z_q) {
  return nn::to_full_precision(decoder(post_quant_conv(z_q)));
}

}  // namespace gear::models
