#include "gear/models/tokenizers/tokenizer.h"

#include <cmath>

#include "gear/models/tokenizers/vq_tokenizer.h"

namespace gear::models {

std::shared_ptr<Tokenizer> make_tokenizer(const TokenizerConfig& config) {
  switch (config.quantizer.kind) {
    case QuantizerKind::kVq:
      return std::make_shared<VqTokenizer>(config);
  }
  fail("make_tokenizer: unhandled kind ", static_cast<int>(config.quantizer.kind));
}

Tensor Tokenizer::encode_ids(const Tensor& images) {
  const at::NoGradGuard no_grad;
  return quantizer().nearest_ids(encode(images)).view({images.size(0), -1});
}

Tensor Tokenizer::decode_ids(const Tensor& ids) {
  TORCH_CHECK(ids.dim() == 2, "Tokenizer::decode_ids: ids must be [B, N], got ", ids.sizes());
  const int64_t side = std::llround(std::sqrt(static_cast<double>(ids.size(1))));
  if (side * side != ids.size(1)) {
    fail("tokenizer: ", ids.size(1), " tokens an image do not fill a square grid; give a square ",
         "number of them");
  }
  const auto codes = quantizer().lookup(ids.flatten());  // [B * N, D]
  return decode(codes.view({ids.size(0), side, side, -1}).permute({0, 3, 1, 2}));
}

Tensor to_signed_unit(const Tensor& images_u8) {
  return images_u8.to(at::kFloat).div(127.5).sub_(1.0);
}

Tensor to_uint8(const Tensor& images) {
  return images.detach().to(at::kFloat).mul(127.5).add_(128.0).clamp_(0, 255).to(at::kByte);
}

}  // namespace gear::models
