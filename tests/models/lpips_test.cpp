#include "gear/models/critics/lpips.h"

#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>
#include <filesystem>

#include "gear/io/safetensors.h"
#include "gear/nn/autocast.h"
#include "gear/nn/meta_scope.h"
#include "io/temporary_folder.h"
#include "models/error_message.h"

namespace gear::models {
namespace {

using io::scratch_file;
using ::testing::HasSubstr;

Lpips small_lpips() {
  torch::manual_seed(1);
  return Lpips(LpipsConfig{.channels = {4, 4, 8, 8, 8}});
}

Tensor random_images(uint64_t seed) {
  torch::manual_seed(seed);
  return at::rand({2, 3, 32, 32}) * 2.0 - 1.0;
}

/// The two published files, made from a network: "features.{i}.*" and "lin{k}.model.1.weight".
struct PublishedFiles {
  std::filesystem::path vgg, linear;
};
PublishedFiles write_published_files(Lpips& lpips) {
  io::NamedTensors vgg, linear;
  for (const auto& item : lpips->named_parameters()) {
    const std::string stage = "net.sliceK.";
    if (item.key().starts_with("net.")) {
      vgg.emplace_back("features." + item.key().substr(stage.size()), item.value());
    } else {
      linear.emplace_back(item.key(), item.value());
    }
  }
  vgg.emplace_back("classifier.0.bias", at::rand({7}));
  const PublishedFiles files{scratch_file("vgg16.safetensors"), scratch_file("linear.safetensors")};
  io::write_safetensors(files.vgg, vgg);
  io::write_safetensors(files.linear, linear);
  return files;
}

std::string error_of(const std::filesystem::path& vgg, const std::filesystem::path& linear) {
  return message_of([&] { make_lpips(vgg, linear); });
}

TEST(Lpips, HasThePublishedParameters) {
  const nn::MetaScope meta;
  const Lpips lpips;
  int64_t parameters = 0;
  for (const auto& parameter : lpips->parameters()) {
    parameters += parameter.numel();
    EXPECT_FALSE(parameter.requires_grad());
  }
  EXPECT_EQ(parameters, 14716160);
}

TEST(Lpips, DistanceOfAnImageToItselfIsZero) {
  auto lpips = small_lpips();
  const auto images = random_images(2);
  EXPECT_EQ(lpips(images, images).abs().max().item<float>(), 0.0F);
}

TEST(Lpips, DistanceIsPositivePerImageAndSymmetric) {
  auto lpips = small_lpips();
  const auto a = random_images(2);
  const auto b = random_images(3);
  const auto distance = lpips(a, b);
  EXPECT_EQ(distance.sizes(), at::IntArrayRef({2, 1, 1, 1}));
  EXPECT_GT(distance.min().item<float>(), 0.0F);
  EXPECT_TRUE(lpips(b, a).equal(distance));
}

TEST(Lpips, FeaturesOfTheRealImagesCanBeReused) {
  auto lpips = small_lpips();
  const auto real = random_images(2);
  std::vector<Tensor> features;
  {
    const at::NoGradGuard no_grad;
    features = lpips->features(real);
  }
  auto images = random_images(3).requires_grad_(true);
  lpips->distance(features, lpips->features(images)).mean().backward();
  const auto reused = images.grad().clone();
  images.mutable_grad() = Tensor();
  lpips(real, images).mean().backward();
  EXPECT_TRUE(images.grad().equal(reused));
}

TEST(Lpips, RunsInFloat32WhateverAutocastSays) {
  auto lpips = small_lpips();
  const auto a = random_images(2);
  const auto b = random_images(3);
  const auto expected = lpips(a, b);
  const nn::AutocastScope bf16(at::kCPU, /*enabled=*/true);
  EXPECT_TRUE(lpips(a, b).equal(expected));
}

TEST(Lpips, GradientIsFiniteWhereAllFeaturesAreZero) {
  auto lpips = small_lpips();
  const at::NoGradGuard no_grad;
  for (auto& parameter : lpips->net->parameters()) parameter.zero_();
  const at::AutoGradMode with_grad(true);
  auto images = random_images(3).requires_grad_(true);
  lpips(random_images(2), images).mean().backward();
  EXPECT_TRUE(images.grad().isfinite().all().item<bool>());
}

TEST(Lpips, GradientMatchesFiniteDifferencesInFloat64) {
  auto lpips = small_lpips();
  lpips->to(at::kDouble);
  const auto real = random_images(2).to(at::kDouble);
  auto images = random_images(3).to(at::kDouble).requires_grad_(true);
  lpips(real, images).mean().backward();

  const at::NoGradGuard no_grad;
  const auto direction = at::randn_like(images);
  const double step = 1e-7;  // so small that no ReLU or maximum switches
  const auto loss = [&](double sign) {
    return lpips(real, images + sign * step * direction).mean().item<double>();
  };
  const double expected = (loss(1.0) - loss(-1.0)) / (2.0 * step);
  const double found = (images.grad() * direction).sum().item<double>();
  EXPECT_NEAR(found, expected, 1e-5 * std::abs(expected));
}

TEST(LpipsWeights, AreReadFromTheTwoPublishedFiles) {
  torch::manual_seed(4);
  Lpips original;
  {
    const at::NoGradGuard no_grad;
    for (auto& linear : original->linear_layers) linear->convolution->weight.uniform_();
  }
  const auto files = write_published_files(original);
  const auto loaded = make_lpips(files.vgg, files.linear);
  std::filesystem::remove(files.vgg);  // 56 MiB
  const auto found = loaded->named_parameters();
  for (const auto& item : original->named_parameters()) {
    EXPECT_TRUE(found[item.key()].equal(item.value())) << item.key();
    EXPECT_FALSE(found[item.key()].requires_grad()) << item.key();
  }
}

TEST(LpipsWeights, OfTheWrongFileAreRefused) {
  const auto path = scratch_file("other.safetensors");
  io::write_safetensors(path, {{"conv.weight", at::rand({2, 2})}});
  EXPECT_EQ(error_of(path, ""), path.string() +
                                    ": holds no features.*.weight; expected "
                                    "torchvision's vgg16-397923af.pth");
}

TEST(LpipsWeights, BelowZeroAreRefused) {
  const auto path = scratch_file("negative.safetensors");
  io::write_safetensors(path, {{"lin0.model.1.weight", at::full({1, 64, 1, 1}, -0.5)}});
  EXPECT_EQ(error_of("", path), path.string() +
                                    ": lin0.model.1.weight: expected weights of at "
                                    "least 0, got -0.5; use vgg.pth of LPIPS v0.1");
}

TEST(LpipsWeights, MissingOnesAreAnnouncedWithFileAndKey) {
  EXPECT_EQ(missing_lpips_weights_notice("a.pth", "b.pth"), "");
  const auto notice = missing_lpips_weights_notice("", "b.pth");
  EXPECT_THAT(notice, HasSubstr("vgg16-397923af.pth"));
  EXPECT_THAT(notice, HasSubstr("loss.lpips_vgg_weights"));
  EXPECT_THAT(notice, ::testing::Not(HasSubstr("loss.lpips_linear_weights")));
  EXPECT_THAT(missing_lpips_weights_notice("", ""), HasSubstr("loss.lpips_linear_weights"));
}

}  // namespace
}  // namespace gear::models
