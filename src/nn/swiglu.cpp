#include "gear/nn/swiglu.h"

#include <ATen/ops/silu.h>

#include "gear/nn/linear.h"

namespace gear::nn {

SwiGluImpl::SwiGluImpl(int64_t dim, int64_t hidden)
    : w1(register_module("w1", linear_no_bias(dim, hidden))),
      w3(register_module("w3", linear_no_bias(dim, hidden))),
      w2(register_module("w2", linear_no_bias(hidden, dim))) {}

Tensor SwiGluImpl::forward(const Tensor& x) { return w2(at::silu(w1(x)) * w3(x)); }

}  // namespace gear::nn
