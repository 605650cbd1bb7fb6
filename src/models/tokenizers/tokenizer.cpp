#include "gear/models/tokenizers/tokenizer.h"

#include <cmath>

#include "gear/models/tokenizers/lfq_tokenizer.h"
#include "gear/models/tokenizers/vq_tokenizer.h"

namespace gear::models {

std::shared_ptr<Tokenizer> make_tokenizer(const TokenizerConfig& config) {
  switch (config.quantizer.kind) {
    case QuantizerKind::kVq:
    case QuantizerKind::kIbq:
    case QuantizerKind::kFsq:
    case QuantizerKind::kSimVq:
      return std::make_shared<VqTokenizer>(config);
    case QuantizerKind::kLfq:
    case QuantizerKind::kGlfq:
      return std::make_shared<LfqTokenizer>(config);
  }
  fail("make_tokenizer: unhandled kind ", static_cast<int>(config.quantizer.kind));
}

Tokenized Tokenizer::forward(const Tensor& images) {
  auto z = encode(images);
  auto quantized = quantizer().forward(z);
  auto reconstruction = decode(quantized.z_q);
  return {.z = z, .quantized = quantized, .reconstruction = reconstruction};
}

Tensor Tokenizer::encode_ids(const Tensor& images) {
  const at::NoGradGuard no_grad;
  return quantizer().nearest_ids(encode(images)).view({images.size(0), -1});
}

Tensor Tokenizer::decode_ids(const Tensor& ids) {
  TORCH_CHECK(ids.dim() == 2, "Tokenizer::decode_ids: ids must be [B, N], got ", ids.sizes());
  const auto codes = quantizer().lookup(ids.flatten());  // [B * N, D]
  const int64_t tokens = codes.size(0) / ids.size(0);
  const int64_t side = std::llround(std::sqrt(static_cast<double>(tokens)));
  if (side * side != tokens) {
    fail("tokenizer: ", tokens, " tokens an image do not fill a square grid; give a square ",
         "number of them");
  }
  return decode(codes.view({ids.size(0), side, side, -1}).permute({0, 3, 1, 2}));
}

std::vector<std::string> Tokenizer::constants() {
  std::vector<std::string> names;
  for (const std::string& name : quantizer().constants()) names.push_back("quantize." + name);
  return names;
}

void Tokenizer::expect_whole_tokens(const Tensor& images) const {
  expect_sizes(images, {-1, 3, -1, -1}, "tokenizer: images");
  const int64_t f = config().downsampling();
  if (images.size(2) % f != 0 || images.size(3) % f != 0) {
    fail("tokenizer: images have ", images.size(2), " x ", images.size(3), " pixels, but with ",
         config().ch_mult.size(), " levels both sides must be multiples of ", f,
         "; choose another image size or another tokenizer.ch_mult");
  }
}

Tensor to_signed_unit(const Tensor& images_u8) {
  return images_u8.to(at::kFloat).div(127.5).sub_(1.0);
}

Tensor to_uint8(const Tensor& images) {
  return images.detach().to(at::kFloat).mul(127.5).add_(128.0).clamp_(0, 255).to(at::kByte);
}

}  // namespace gear::models
