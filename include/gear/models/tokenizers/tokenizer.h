#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gear/config/config.h"
#include "gear/core/tensor.h"
#include "gear/models/tokenizers/quantizer.h"
#include "gear/nn/gate.h"

// B batch, S image side, f downsampling, h = w = S / f, D code width

namespace gear::models {

/// Convolutional tokenizer; the quantizer's kind chooses the network around it. VQ-16 is the
/// default; VQ-8 has ch_mult [1, 2, 2, 4].
struct TokenizerConfig {
  int64_t ch = 128;
  std::vector<int64_t> ch_mult = {1, 1, 2, 2, 4};
  std::vector<int64_t> decoder_ch_mult = {};
  int64_t downsample = 0;
  int64_t num_res_blocks = 2;
  std::vector<int64_t> attention_levels = {-1};
  int64_t z_channels = 256;
  double dropout = 0.0;
  bool activation_checkpointing = false;
  QuantizerConfig quantizer;

  template <class Visitor>
  void fields(Visitor& v) {
    v("ch", ch, "Base width; group norm needs a multiple of 32.", config::multiple_of(32),
      config::in_range(32, 4096));
    v("ch_mult", ch_mult, "Width of each resolution level, in units of ch.",
      config::in_range(1, 64));
    v("decoder_ch_mult", decoder_ch_mult, "The same for the decoder; empty means ch_mult.",
      config::in_range(1, 64));
    v("downsample", downsample,
      "Pixels per token side, a power of two; 0: 2 to the number of levels but one. Only lfq and "
      "glfq can do with less: their last levels then keep the size.",
      config::in_range(0, 512));
    v("num_res_blocks", num_res_blocks,
      "Residual blocks per encoder level; the decoder has one more (lfq, glfq: as many).",
      config::in_range(1, 100));
    v("attention_levels", attention_levels,
      "Levels with attention after each residual block; 0: full size, -1: the last level. lfq and "
      "glfq have none.",
      config::in_range(-1, 9));
    v("z_channels", z_channels,
      "Width of the encoder output before quant_conv (lfq, glfq: none, codebook_dim it is).",
      config::in_range(1, 65536));
    v("dropout", dropout, "Drop probability inside residual blocks (lfq, glfq: none).",
      config::in_range(0, 0.9));
    v("activation_checkpointing", activation_checkpointing,
      "Recompute each residual and attention block in the backward pass: less memory, a third more "
      "time.");
    v("quantizer", quantizer, "Codebook.");
  }
  void check(const config::Where& at) const {
    constexpr size_t kMostLevels = 10;
    if (ch_mult.empty() || ch_mult.size() > kMostLevels) {
      fail(at("ch_mult"), "must have from 1 to ", kMostLevels, " levels, got ", ch_mult.size());
    }
    if (decoder_levels().size() != ch_mult.size()) {
      fail(at("decoder_ch_mult"), "must have as many levels as ch_mult (", ch_mult.size(),
           "), got ", decoder_ch_mult.size());
    }
    check_family(at);
  }
  /// Width multipliers of the decoder, from the largest resolution to the smallest.
  const std::vector<int64_t>& decoder_levels() const {
    return decoder_ch_mult.empty() ? ch_mult : decoder_ch_mult;
  }
  /// Widths where the encoder ends, the decoder begins and the decoder ends.
  int64_t encoder_out() const { return ch * ch_mult.back(); }
  int64_t decoder_in() const { return ch * decoder_levels().back(); }
  int64_t decoder_out() const { return ch * decoder_levels().front(); }
  /// Pixels per token side.
  int64_t downsampling() const { return downsample > 0 ? downsample : full_downsampling(); }
  /// The same when every level but the last halves the size.
  int64_t full_downsampling() const { return int64_t{1} << (ch_mult.size() - 1); }
  bool has_attention(size_t level) const;
  /// What the network of a family wants of the other fields; part of `check`.
  void check_family(const config::Where& at) const;
};

/// Everything one forward pass of the tokenizer yields.
struct Tokenized {
  Tensor z;               // [B, D, h, w] before quantisation, float32
  Quantized quantized;    // read-outs and losses
  Tensor reconstruction;  // [B, 3, S, S] float32, not clamped
};

/// Encoder, quantizer and decoder. Registered names are those of the published checkpoints.
class Tokenizer : public nn::KeptModule {
 public:
  /// images [B, 3, S, S] float in [-1, 1].
  virtual Tokenized forward(const Tensor& images);
  /// images -> z [B, D, h, w] float32, before quantisation.
  virtual Tensor encode(const Tensor& images) = 0;
  /// z_q [B, D, h, w] -> image [B, 3, S, S] float32, not clamped.
  virtual Tensor decode(const Tensor& z_q) = 0;
  virtual Quantizer& quantizer() = 0;
  virtual const TokenizerConfig& config() const = 0;

  /// Hard indices of images: [B, N] int64; with G groups of bits [B, N * G].
  Tensor encode_ids(const Tensor& images);
  /// ids [B, N] of a square grid, or [B, N * G] -> image [B, 3, S, S].
  Tensor decode_ids(const Tensor& ids);

  /// Names of stored tensors that training never changes; a moving average must leave them alone.
  std::vector<std::string> constants();

 protected:
  /// Throws Error unless images are [B, 3, H, W] with sides that a whole number of tokens covers.
  void expect_whole_tokens(const Tensor& images) const;
};

std::shared_ptr<Tokenizer> make_tokenizer(const TokenizerConfig& config);

/// uint8 [0, 255] -> float32 [-1, 1]: u / 127.5 - 1.
Tensor to_signed_unit(const Tensor& images_u8);
/// float [-1, 1] -> uint8 by trunc(clamp(127.5 v + 128, 0, 255)).
Tensor to_uint8(const Tensor& images);

}  // namespace gear::models
