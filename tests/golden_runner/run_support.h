#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "gear/train/recipes/ar_learner.h"
#include "gear/train/recipes/tokenizer_learner.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {

struct JointNetworks {
  train::TokenizerNetworks tokenizer;
  train::ArNetworks ar;
};

/// All trained and critic networks of a small run.
JointNetworks make_joint_networks(const train::RunConfig& run,
                                  const std::vector<int64_t>& feature_dims,
                                  const std::array<int64_t, 5>& lpips_channels,
                                  int64_t discriminator_width);

/// Copies of every tensor of the recipe's state as "<group>.<name>".
Tensors snapshot(train::Recipe& recipe);

std::map<std::string, double> as_map(const train::Metrics& metrics);

/// Hard indices [T] of a training-mode forward, without gradients.
at::Tensor indices_of(models::Tokenizer& tokenizer, const at::Tensor& images);

losses::SpatialNorm spatial_norm_from(const std::string& name);

}  // namespace gear::golden
