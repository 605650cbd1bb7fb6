#include "gear/nn/rms_norm.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/rms_norm.h>

namespace gear::nn {

RmsNormImpl::RmsNormImpl(int64_t dim, double eps)
    : eps(eps), weight(register_parameter("weight", at::ones({dim}))) {}

Tensor RmsNormImpl::forward(const Tensor& x) {
  return at::rms_norm(x, weight.sizes(), weight, eps);
}

}  // namespace gear::nn
