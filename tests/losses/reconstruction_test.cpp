#include "gear/losses/reconstruction.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace gear::losses {
namespace {

TEST(ReconstructionLoss, IsTheMeanAbsoluteOrSquaredDifference) {
  const auto found = at::tensor({1.0F, -2.0F, 0.5F, 3.0F});
  const auto wanted = at::tensor({0.0F, 0.0F, 0.5F, 1.0F});
  EXPECT_FLOAT_EQ(reconstruction_loss(found, wanted, ReconstructionKind::kL1).item<float>(), 1.25F);
  EXPECT_FLOAT_EQ(reconstruction_loss(found, wanted, ReconstructionKind::kL2).item<float>(), 2.25F);
}

TEST(ReconstructionLoss, IsComputedInFloat32) {
  const auto bf16 = at::tensor({1.0F, 3.0F}).to(at::kBFloat16);
  EXPECT_EQ(reconstruction_loss(bf16, bf16, ReconstructionKind::kL1).scalar_type(), at::kFloat);
}

}  // namespace
}  // namespace gear::losses
