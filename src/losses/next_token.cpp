#include "gear/losses/next_token.h"

#include <ATen/autocast_mode.h>

#include "gear/ops/linear_cross_entropy.h"

namespace gear::losses {

Tensor next_token_loss(const Tensor& features, const Tensor& head, const Tensor& ids) {
  TORCH_CHECK(features.dim() == 3 && ids.sizes() == features.sizes().slice(0, 2),
              "next_token_loss: features ", features.sizes(), " do not fit ids ", ids.sizes());
  const bool bfloat16 = at::autocast::is_autocast_enabled(features.device().type());
  return ops::linear_cross_entropy(features.flatten(0, 1), head, ids.flatten(),
                                   {.bfloat16_products = bfloat16});
}

}  // namespace gear::losses
