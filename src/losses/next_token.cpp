#include "gear/losses/next_token.h"

#include <ATen/ops/cross_entropy_loss.h>

#include "gear/nn/autocast.h"

namespace gear::losses {

Tensor next_token_loss(const Tensor& logits, const Tensor& ids) {
  TORCH_CHECK(logits.dim() == 3 && ids.sizes() == logits.sizes().slice(0, 2),
              "next_token_loss: logits ", logits.sizes(), " do not fit ids ", ids.sizes());
  return at::cross_entropy_loss(nn::to_full_precision(logits.flatten(0, 1)), ids.flatten());
}

}  // namespace gear::losses
