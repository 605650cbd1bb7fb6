#include "gear/eval/reconstruction.h"

#include <ATen/ops/avg_pool2d.h>

#include <algorithm>

#include "eval/shared_batches.h"

namespace gear::eval {
namespace {

constexpr int64_t kWindow = 7;
constexpr double kC1 = 0.01 * 0.01;
constexpr double kC2 = 0.03 * 0.03;

Tensor window_mean(const Tensor& x) { return at::avg_pool2d(x, {kWindow, kWindow}, {1, 1}); }

/// [B, 3, H, W] in [0, 1] -> [B]; windows that would leave the picture are not used, which is the
/// interior without a border of three pixels.
Tensor structural_similarity(const Tensor& a, const Tensor& b) {
  constexpr double kSamples = kWindow * kWindow;
  constexpr double kUnbiased = kSamples / (kSamples - 1.0);
  const auto mean_a = window_mean(a);
  const auto mean_b = window_mean(b);
  const auto variance_a = kUnbiased * (window_mean(a * a) - mean_a * mean_a);
  const auto variance_b = kUnbiased * (window_mean(b * b) - mean_b * mean_b);
  const auto covariance = kUnbiased * (window_mean(a * b) - mean_a * mean_b);
  const auto similarity =
      ((2.0 * mean_a * mean_b + kC1) * (2.0 * covariance + kC2)) /
      ((mean_a * mean_a + mean_b * mean_b + kC1) * (variance_a + variance_b + kC2));
  return similarity.mean({1, 2, 3});
}

}  // namespace

ReconstructionScores reconstruction_scores(const Tensor& images, const Tensor& reconstructions) {
  const auto truth = (images.to(at::kDouble) + 1.0) / 2.0;
  const auto found = (reconstructions.to(at::kDouble).clamp(-1.0, 1.0) + 1.0) / 2.0;
  const auto difference = truth - found;
  const auto mse = difference.square().mean({1, 2, 3}).clamp_min(1e-12);
  return {.l1 = difference.abs().mean({1, 2, 3}),
          .psnr = -10.0 * mse.log10(),
          .ssim = structural_similarity(truth, found)};
}

ReconstructionSummary measure_reconstruction(models::Tokenizer& tokenizer,
                                             data::ValidationLoader& loader, int64_t max_images,
                                             const dist::World& world) {
  const at::NoGradGuard no_grad;
  const bool was_training = tokenizer.is_training();
  tokenizer.eval();
  loader.restart();
  const auto device = tokenizer.parameters().front().device();
  ReconstructionSummary summary;
  while (max_images == 0 || summary.images < max_images) {
    const auto batch = next_of_all(loader, world);
    if (!batch) break;
    auto images = models::to_signed_unit(batch->images.to(device));
    if (max_images > 0) images = images.slice(0, 0, max_images - summary.images);
    const auto scores = reconstruction_scores(images, tokenizer.forward(images).reconstruction);
    summary.images += images.size(0);
    summary.l1 += scores.l1.sum().item<double>();
    summary.psnr += scores.psnr.sum().item<double>();
    summary.ssim += scores.ssim.sum().item<double>();
  }
  if (was_training) tokenizer.train();
  const double count = static_cast<double>(std::max<int64_t>(summary.images, 1));
  summary.l1 /= count;
  summary.psnr /= count;
  summary.ssim /= count;
  return summary;
}

}  // namespace gear::eval
