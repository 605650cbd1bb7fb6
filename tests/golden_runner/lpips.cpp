#include "golden_runner/critics_support.h"
#include "golden_runner/full_model.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {
namespace {

void fill(models::Lpips& lpips, const Case& golden) {
  if (!golden.json().contains("weights_formula")) {
    load_weights(*lpips, golden.weights());
    return;
  }
  fill_by_formula(*lpips, golden);
}

}  // namespace

Outcome check_lpips(const Case& golden, Report& report) {
  models::Lpips lpips(lpips_config_from(golden.config()));
  fill(lpips, golden);

  const auto input = golden.input("input");
  const auto target = golden.input("target").clone().requires_grad_(true);
  const auto scaled = lpips->scaling_layer(input);
  report.output("scaled_input", scaled);
  const auto activations = lpips->net(scaled);
  for (size_t stage = 0; stage < activations.size(); ++stage) {
    report.output("feature_mean." + std::to_string(stage), activations[stage].mean({2, 3}));
  }

  const auto input_features = lpips->features(input);
  const auto distance = lpips->distance(input_features, lpips->features(target));
  report.output("lpips", distance);
  report.output("perceptual_loss", distance.mean());
  report.output("lpips_self", lpips->distance(input_features, input_features));
  distance.mean().backward();
  report.grad("input:target", target.grad());
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
