#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "gear/io/weights.h"
#include "gear/train/adamw.h"
#include "gear/train/run_config.h"
#include "gear/train/state.h"

namespace gear::train {

/// Networks as a configuration describes them, built without storage: to compare names and shapes.
class NetworkShapes {
 public:
  explicit NetworkShapes(const RunConfig& config) : config_(config) {}

  /// Parameters and buffers of the network of this group, on the meta device.
  TensorGroup network(const std::string& group) const;

  /// Parameters that the optimizer of this group ("optimizer_ar") trains, in its order and under
  /// its names ("ar.norm.weight").
  std::vector<NamedParameter> trained_by(const std::string& optimizer_group) const;

 private:
  std::shared_ptr<torch::nn::Module> build(const std::string& group) const;

  const RunConfig& config_;
};

/// Tensors of a network in the order, shapes and types that it has, and what else was there.
struct FittedNetwork {
  TensorGroup group;
  std::vector<std::string> ignored;    ///< names that the network has no place for
  std::vector<std::string> converted;  ///< "<name>: Half to Float"
};

/// Picks what the network of `group` registers out of `tensors`. A name that is missing, or a
/// tensor of another shape, is an Error that begins with `source` and names it.
FittedNetwork fit_network(const NetworkShapes& shapes, const std::string& group,
                          const io::TensorMap& tensors, const std::string& source);

}  // namespace gear::train
