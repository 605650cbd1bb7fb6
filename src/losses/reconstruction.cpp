#include "gear/losses/reconstruction.h"

#include <ATen/ops/l1_loss.h>
#include <ATen/ops/mse_loss.h>

#include "gear/nn/autocast.h"

namespace gear::losses {

Tensor reconstruction_loss(const Tensor& reconstruction, const Tensor& images,
                           ReconstructionKind kind) {
  TORCH_CHECK(reconstruction.sizes() == images.sizes(), "reconstruction_loss: sizes differ, ",
              reconstruction.sizes(), " and ", images.sizes());
  const auto found = nn::to_full_precision(reconstruction);
  const auto wanted = nn::to_full_precision(images);
  return kind == ReconstructionKind::kL1 ? at::l1_loss(found, wanted) : at::mse_loss(found, wanted);
}

}  // namespace gear::losses
