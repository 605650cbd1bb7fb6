#pragma once

#include <torch/nn/init.h>
#include <torch/nn/module.h>

namespace gear::models {

/// Initial values of the matrices of a module, normal around 0; vectors keep theirs.
inline void draw_matrices(torch::nn::Module& module, double deviation) {
  for (auto& parameter : module.parameters()) {
    if (parameter.dim() == 2) torch::nn::init::normal_(parameter, 0.0, deviation);
  }
}

}  // namespace gear::models
