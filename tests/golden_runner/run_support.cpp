#include "golden_runner/run_support.h"

#include "gear/core/error.h"
#include "gear/train/recipes/micro_batches.h"

namespace gear::golden {

JointNetworks make_joint_networks(const train::RunConfig& run,
                                  const std::vector<int64_t>& feature_dims,
                                  const std::array<int64_t, 5>& lpips_channels,
                                  int64_t discriminator_width) {
  JointNetworks networks;
  networks.tokenizer.tokenizer = models::make_tokenizer(run.tokenizer);
  networks.tokenizer.tokenizer_ema = models::make_tokenizer(run.tokenizer);
  networks.tokenizer.lpips = models::Lpips(models::LpipsConfig{.channels = lpips_channels});
  networks.tokenizer.discriminator =
      models::PatchGan(models::PatchGanConfig{.ndf = discriminator_width});
  const auto ar = run.resolved_ar();
  networks.ar.ar = models::ArModel(ar);
  networks.ar.ar_ema = models::ArModel(ar);
  if (!feature_dims.empty()) {
    networks.ar.projector = models::Projector(ar.dim, run.loss.projector_dim, feature_dims);
  }
  return networks;
}

Tensors snapshot(train::Recipe& recipe) {
  Tensors tensors;
  for (const auto& group : recipe.state()) {
    for (const auto& [name, tensor] : group.tensors) {
      tensors[group.name + "." + name] = tensor.detach().clone();
    }
  }
  return tensors;
}

std::map<std::string, double> as_map(const train::Metrics& metrics) {
  const auto values = metrics.host_values();
  return {values.begin(), values.end()};
}

at::Tensor indices_of(models::Tokenizer& tokenizer, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  const auto z = tokenizer.encode(train::tokenizer_input(images));
  return tokenizer.quantizer().forward(z).ids;
}

losses::SpatialNorm spatial_norm_from(const std::string& name) {
  const auto& names = config::EnumNames<losses::SpatialNorm>::value;
  for (size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) return static_cast<losses::SpatialNorm>(i);
  }
  fail("case.json: unknown spatial norm ", name);
}

}  // namespace gear::golden
