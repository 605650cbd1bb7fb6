#include "gear/nn/convolution.h"

#include <atomic>
#include <variant>

namespace gear::nn {
namespace {

std::atomic<ops::ConvMethod> current_method = ops::ConvMethod::kDirect;

}  // namespace

Tensor ConvolutionImpl::forward(const Tensor& x) {
  if (options.stride()->at(0) != 1) return torch::nn::Conv2dImpl::forward(x);
  return ops::conv2d(x, weight, bias, padding(), conv_method());
}

int64_t ConvolutionImpl::padding() const {
  return std::get<torch::ExpandingArray<2>>(options.padding())->at(0);
}

Convolution conv3x3(int64_t in, int64_t out, bool bias) {
  return Convolution(torch::nn::Conv2dOptions(in, out, 3).padding(1).bias(bias));
}

void set_conv_method(ops::ConvMethod method) { current_method = method; }
ops::ConvMethod conv_method() { return current_method.load(std::memory_order_relaxed); }

}  // namespace gear::nn
