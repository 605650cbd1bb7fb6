#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/nn/gate.h"

// B batch, N tokens, D width of the transformer, F_i feature width of teacher i

namespace gear::models {

/// One MLP per teacher, linear - SiLU - linear - SiLU - linear, from the tapped hidden state to the
/// width of the teacher's features. Registered names: projs.{teacher}.{0,2,4}.{weight,bias}.
class ProjectorImpl : public nn::KeptModule {
 public:
  ProjectorImpl(int64_t in_dim, int64_t hidden, const std::vector<int64_t>& out_dims);

  /// [B, N, D] -> one [B, N, F_i] float32 per teacher, whatever autocast says inside.
  std::vector<Tensor> forward(const Tensor& hidden_states);

  torch::nn::ModuleList projs;
};
TORCH_MODULE(Projector);

}  // namespace gear::models
