#include "gear/nn/dropout_attention.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "gear/nn/dropout.h"

namespace gear::nn {
namespace {

struct Inputs {
  Tensor q, k, v;
};

Inputs inputs(int64_t batch, int64_t heads, int64_t kv_heads) {
  torch::manual_seed(1);
  return {.q = at::randn({batch, heads, 7, 8}),
          .k = at::randn({batch, kv_heads, 7, 8}),
          .v = at::randn({batch, kv_heads, 7, 8})};
}

TEST(DropoutAttention, IsAttentionWhereNothingIsDropped) {
  const double nothing = 1e-12;
  for (const int64_t kv_heads : {4, 2}) {
    const auto [q, k, v] = inputs(2, 4, kv_heads);
    const bool grouped = kv_heads != 4;
    const Tensor mask = at::randn({2, 1, 7, 7}).gt(0) | at::eye(7, at::kBool);
    EXPECT_TRUE(at::allclose(
        dropout_attention(q, k, v, std::nullopt, nothing),
        at::scaled_dot_product_attention(q, k, v, {}, 0.0, /*is_causal=*/true, {}, grouped), 1e-5,
        1e-6));
    EXPECT_TRUE(at::allclose(
        dropout_attention(q, k, v, mask, nothing),
        at::scaled_dot_product_attention(q, k, v, mask, 0.0, /*is_causal=*/false, {}, grouped),
        1e-5, 1e-6));
  }
}

TEST(DropoutAttention, ASampleLosesTheSameProbabilitiesInEveryBatch) {
  const auto [q, k, v] = inputs(3, 2, 2);
  Tensor together, alone;
  {
    const SampleDrawsScope scope({5, 6, 7});
    together = dropout_attention(q, k, v, std::nullopt, 0.5);
  }
  {
    const SampleDrawsScope scope({7});
    alone = dropout_attention(q.narrow(0, 2, 1), k.narrow(0, 2, 1), v.narrow(0, 2, 1), std::nullopt,
                              0.5);
  }
  EXPECT_TRUE(at::allclose(together[2], alone[0], 1e-5, 1e-6));
  EXPECT_FALSE(at::allclose(together, dropout_attention(q, k, v, std::nullopt, 0.0), 0.1, 0.1));
}

}  // namespace
}  // namespace gear::nn
