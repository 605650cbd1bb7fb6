#include "gear/losses/alignment.h"
#include "gear/models/ar/projector.h"
#include "golden_runner/golden_case.h"

// B batch, L tokens per image, D width of the transformer

namespace gear::golden {
namespace {

std::string name_of(losses::SpatialNorm mode) {
  return config::EnumNames<losses::SpatialNorm>::value[static_cast<size_t>(mode)];
}

/// One mode of the spatial norm; returns the loss, its graph ready for backward.
at::Tensor check_mode(const Case& golden, losses::SpatialNorm mode, const at::Tensor& hidden,
                      models::Projector& projector, Report& report) {
  const auto& config = golden.config();
  std::vector<at::Tensor> targets;
  for (size_t i = 0; i < config.at("out_dims").size(); ++i) {
    const std::string name = "teacher." + std::to_string(i);
    targets.push_back(
        losses::spatial_norm(golden.input(name), mode, config.at("alpha").get<double>()));
    report.output(name_of(mode) + "." + name, targets.back());
  }
  const int64_t tokens = config.at("tokens");
  const auto predicting = hidden.slice(1, hidden.size(1) - tokens);  // [B, L, D]
  const auto projected = projector->forward(predicting);
  for (size_t i = 0; i < projected.size(); ++i) {
    report.output("projected." + std::to_string(i), projected[i]);
  }
  const auto loss = losses::alignment_loss(projected, targets);
  report.output(name_of(mode) + ".align_loss", loss);
  return loss;
}

}  // namespace

Outcome check_align(const Case& golden, Report& report) {
  const auto& config = golden.config();
  models::Projector projector(config.at("in_dim").get<int64_t>(),
                              config.at("hidden").get<int64_t>(),
                              config.at("out_dims").get<std::vector<int64_t>>());
  load_weights(*projector, golden.weights());
  for (const auto mode :
       {losses::SpatialNorm::kNone, losses::SpatialNorm::kDemean, losses::SpatialNorm::kZscore}) {
    const auto hidden = golden.input("hidden").clone().requires_grad_(true);
    projector->zero_grad();
    check_mode(golden, mode, hidden, projector, report).backward();
    report.grad(name_of(mode) + ":input:hidden", hidden.grad());
    if (mode != losses::SpatialNorm::kNone)
      continue;  // parameter gradients are stored for this mode
    for (const auto& item : projector->named_parameters()) {
      report.grad(item.key(), item.value().grad());
    }
  }
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
