#include "gear/losses/alignment.h"

#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/std.h>

#include "gear/nn/autocast.h"

// B batch, L tokens per image, F feature width of a teacher

namespace gear::losses {
namespace {

constexpr double kSmallestNorm = 1e-12;
constexpr double kZscoreEps = 1e-6;

Tensor clamped_norm(const Tensor& x) {  // [B, L, F] -> [B, L]
  return at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}).clamp_min(kSmallestNorm);
}

}  // namespace

Tensor spatial_norm(const Tensor& target, SpatialNorm kind, double alpha) {
  const auto features = nn::to_full_precision(target);
  if (kind == SpatialNorm::kNone) return features;
  const auto centred = features - alpha * features.mean({1}, /*keepdim=*/true);
  if (kind == SpatialNorm::kDemean) return centred;
  const auto deviation = at::std(centred, at::IntArrayRef{1}, /*unbiased=*/true, /*keepdim=*/true);
  return centred / (deviation + kZscoreEps);
}

Tensor alignment_loss(const Tensor& projected, const Tensor& target) {
  TORCH_CHECK(projected.sizes() == target.sizes(), "alignment_loss: projected ", projected.sizes(),
              " and teacher features ", target.sizes(), " differ");
  const auto found = nn::to_full_precision(projected);
  const auto wanted = nn::to_full_precision(target.detach());
  const auto dot = (found * wanted).sum(-1);  // [B, L]
  return -(dot / (clamped_norm(found) * clamped_norm(wanted))).mean();
}

Tensor alignment_loss(const std::vector<Tensor>& projected, const std::vector<Tensor>& targets) {
  TORCH_CHECK(!projected.empty() && projected.size() == targets.size(),
              "alignment_loss: ", projected.size(), " projections for ", targets.size(),
              " teachers");
  auto sum = alignment_loss(projected[0], targets[0]);
  for (size_t i = 1; i < projected.size(); ++i) {
    sum = sum + alignment_loss(projected[i], targets[i]);
  }
  return sum / static_cast<double>(projected.size());
}

}  // namespace gear::losses
