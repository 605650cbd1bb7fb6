#include "gear/models/critics/patch_gan.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "gear/nn/autocast.h"
#include "gear/nn/meta_scope.h"

namespace gear::models {
namespace {

PatchGanConfig small(CriticNorm norm) { return {.ndf = 4, .layers = 2, .norm = norm}; }

Tensor buffer(PatchGan& critic, const std::string& name) { return critic->named_buffers()[name]; }

TEST(PatchGan, HasThePublishedParameters) {
  const nn::MetaScope meta;
  const PatchGan critic{PatchGanConfig{}};
  int64_t parameters = 0;
  for (const auto& parameter : critic->parameters()) parameters += parameter.numel();
  EXPECT_EQ(parameters, 2765633);
}

TEST(PatchGan, MapsAFullImageTo30By30Logits) {
  const at::NoGradGuard no_grad;
  PatchGan critic(PatchGanConfig{.ndf = 4});
  EXPECT_EQ(critic(at::zeros({1, 3, 256, 256})).sizes(), at::IntArrayRef({1, 1, 30, 30}));
}

TEST(PatchGan, UsesBatchStatisticsWhileFrozen) {
  torch::manual_seed(1);
  PatchGan critic(small(CriticNorm::kBatch));
  critic->train();
  for (auto& parameter : critic->parameters()) parameter.set_requires_grad(false);
  const auto images = at::randn({3, 3, 32, 32});
  const auto first = critic(images);
  critic->commit_statistics();
  EXPECT_EQ(buffer(critic, "main.3.num_batches_tracked").item<int64_t>(), 1);
  EXPECT_TRUE(critic(images).equal(first));  // running statistics moved, the output did not
  critic->commit_statistics();
  EXPECT_EQ(buffer(critic, "main.3.num_batches_tracked").item<int64_t>(), 2);
}

TEST(PatchGan, WithGroupNormTreatsImagesAlone) {
  torch::manual_seed(2);
  PatchGan critic(small(CriticNorm::kGroup));
  const auto images = at::randn({2, 3, 32, 32});
  const auto alone = critic(images.slice(0, 0, 1));
  EXPECT_LT((critic(images).slice(0, 0, 1) - alone).abs().max().item<float>(), 1e-5);
  EXPECT_EQ(critic->named_buffers().size(), 0U);
}

TEST(PatchGan, RunsInFloat32WhateverAutocastSays) {
  torch::manual_seed(3);
  PatchGan critic(small(CriticNorm::kBatch));
  const auto images = at::randn({2, 3, 32, 32});
  const auto expected = critic(images);
  const nn::AutocastScope bf16(at::kCPU, /*enabled=*/true);
  const auto found = critic(images);
  EXPECT_EQ(found.scalar_type(), at::kFloat);
  EXPECT_TRUE(found.equal(expected));
}

TEST(PatchGan, GradientMatchesFiniteDifferencesInFloat64) {
  for (const auto norm : {CriticNorm::kBatch, CriticNorm::kGroup}) {
    torch::manual_seed(4);
    PatchGan critic(small(norm));
    critic->to(at::kDouble);
    auto images = at::randn({2, 3, 24, 24}, at::kDouble).requires_grad_(true);
    critic(images).square().mean().backward();

    const at::NoGradGuard no_grad;
    const auto direction = at::randn_like(images);
    const double step = 1e-6;
    const auto loss = [&](double sign) {
      return critic(images + sign * step * direction).square().mean().item<double>();
    };
    const double expected = (loss(1.0) - loss(-1.0)) / (2.0 * step);
    const double found = (images.grad() * direction).sum().item<double>();
    EXPECT_NEAR(found, expected, 1e-6 * std::abs(expected) + 1e-9);
  }
}

}  // namespace
}  // namespace gear::models
