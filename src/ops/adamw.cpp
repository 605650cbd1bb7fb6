#include "gear/ops/adamw.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/variable.h>

#include "ops/adamw_kernels.h"

namespace gear::ops {
namespace {

void check_like(const char* name, const Tensor& tensor, const Tensor& parameter) {
  TORCH_CHECK(tensor.scalar_type() == parameter.scalar_type() &&
                  tensor.device() == parameter.device() && tensor.sizes() == parameter.sizes() &&
                  tensor.strides() == parameter.strides(),
              "adamw_: ", name, " must be like its parameter, ", parameter.scalar_type(), " ",
              parameter.sizes(), " with strides ", parameter.strides(), ", got ",
              tensor.scalar_type(), " ", tensor.sizes(), " with strides ", tensor.strides());
}

void check(const AdamWTensors& tensors, const Tensor& first) {
  const Tensor& parameter = tensors.parameter;
  const auto type = parameter.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kDouble,
              "adamw_: parameters must be float32 or float64, got ", type);
  TORCH_CHECK(parameter.device() == first.device() && type == first.scalar_type(),
              "adamw_: all parameters must be of one type on one device");
  TORCH_CHECK(parameter.is_non_overlapping_and_dense(), "adamw_: a parameter is not dense");
  TORCH_CHECK(tensors.step.dim() == 0 && tensors.step.scalar_type() == at::kFloat,
              "adamw_: step must be a float32 scalar");
  check_like("gradient", tensors.gradient, parameter);
  check_like("exp_avg", tensors.exp_avg, parameter);
  check_like("exp_avg_sq", tensors.exp_avg_sq, parameter);
  if (tensors.average.defined()) check_like("average", tensors.average, parameter);
}

}  // namespace

void adamw_(const std::vector<AdamWTensors>& tensors, const AdamWStep& step) {
  if (tensors.empty()) return;
  const Tensor& first = tensors.front().parameter;
  for (const AdamWTensors& each : tensors) check(each, first);
  const at::NoGradGuard no_grad;
#ifdef GEAR_WITH_CUDA
  if (first.is_cuda()) {
    cuda::adamw(tensors, step);
  } else
#endif
  {
    TORCH_CHECK(first.is_cpu(), "adamw_: no kernels for ", first.device());
    cpu::adamw(tensors, step);
  }
  // Whoever saved a parameter for a backward pass must notice that it has changed.
  for (const AdamWTensors& each : tensors) torch::autograd::impl::bump_version(each.parameter);
}

}  // namespace gear::ops
