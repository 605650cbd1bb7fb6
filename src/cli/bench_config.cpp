#include "cli/bench_config.h"

#include "cli/run_setup.h"

namespace gear::cli {

train::RunConfig config_without_weights(const std::string& path,
                                        const std::vector<std::string>& overrides) {
  auto config = config::load<train::RunConfig>(path, overrides);
  if (config.data.num_classes == 0) config.data.num_classes = 1000;
  resolve_arithmetic(config);
  config.init = {};
  config.teacher.weights.clear();
  config.loss.lpips_vgg_weights.clear();
  config.loss.lpips_linear_weights.clear();
  return config;
}

}  // namespace gear::cli
