#include "gear/models/ar/projector.h"

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

namespace gear::models {

ProjectorImpl::ProjectorImpl(int64_t in_dim, int64_t hidden, const std::vector<int64_t>& out_dims)
    : projs(register_module("projs", torch::nn::ModuleList())) {
  for (const int64_t out_dim : out_dims) {
    projs->push_back(torch::nn::Sequential(torch::nn::Linear(in_dim, hidden), torch::nn::SiLU(),
                                           torch::nn::Linear(hidden, hidden), torch::nn::SiLU(),
                                           torch::nn::Linear(hidden, out_dim)));
  }
  tell_built();
}

std::vector<Tensor> ProjectorImpl::forward(const Tensor& hidden_states) {
  std::vector<Tensor> projected;
  for (const auto& proj : *projs) {
    projected.push_back(proj->as<torch::nn::Sequential>()->forward(hidden_states).to(at::kFloat));
  }
  return projected;
}

}  // namespace gear::models
