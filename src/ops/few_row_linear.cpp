#include "gear/ops/few_row_linear.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/where.h>

#include "gear/core/error.h"
#include "ops/few_row_linear_kernels.h"

// R rows, K inputs, N outputs

namespace gear::ops {
namespace {

constexpr double kSteps = 127.0;  // -128 is left out: it has no counterpart

const FewRowKernels& kernels_for(const Tensor& tensor) {
#ifdef GEAR_WITH_CUDA
  if (tensor.is_cuda()) return kCudaFewRow;
#endif
  TORCH_CHECK(tensor.is_cpu(), "few_row_linear: no kernels for ", tensor.device());
  return kCpuFewRow;
}

/// A weight as the numbers that are kept.
struct Rounded {
  Tensor values;  // [N, K] float32, bfloat16 or int8
  Tensor scales;  // [N], int8 alone
};

Rounded to_int8(const Tensor& weight) {
  const auto largest = weight.abs().amax(1);  // [N]
  if (!largest.isfinite().all().item<bool>()) {
    fail("int8 weights: a weight is not a finite number, so its output has no largest one to ",
         "measure by; keep these weights in fp32 or bf16");
  }
  const auto scales = at::where(largest > 0, largest / kSteps, 1.0F);
  return {(weight / scales.unsqueeze(1)).round().to(at::kChar), scales};
}

Rounded round_to(const Tensor& weight, WeightFormat format) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == at::kFloat,
              "few_row_linear: a weight must be float32 [N, K], got ", weight.scalar_type(), " ",
              weight.sizes());
  const at::NoGradGuard no_grad;
  switch (format) {
    case WeightFormat::kFloat32:
      return {weight.detach(), {}};
    case WeightFormat::kBfloat16:
      return {weight.detach().to(at::kBFloat16), {}};
    case WeightFormat::kInt8:
      return to_int8(weight.detach());
  }
  fail("store_weight: unhandled format ", static_cast<int>(format));
}

void check(const Tensor& x, const StoredWeight& weight, const Tensor& out) {
  TORCH_CHECK(x.dim() == 2 && x.size(1) == weight.inputs && x.is_contiguous() &&
                  x.scalar_type() == at::kFloat,
              "few_row_linear: x must be contiguous float32 [R, ", weight.inputs, "], got ",
              x.scalar_type(), " ", x.sizes());
  TORCH_CHECK(out.dim() == 2 && out.size(0) == x.size(0) && out.size(1) == weight.outputs &&
                  out.is_contiguous() && out.scalar_type() == at::kFloat,
              "few_row_linear: out must be contiguous float32 [", x.size(0), ", ", weight.outputs,
              "], got ", out.scalar_type(), " ", out.sizes());
}

}  // namespace

double StoredWeight::bytes() const {
  constexpr std::array<double, 3> kBytes = {4.0, 2.0, 1.0};  // of a weight
  const double own = static_cast<double>(outputs * inputs) * kBytes.at(static_cast<size_t>(format));
  return own + (scales.defined() ? static_cast<double>(scales.nbytes()) : 0.0);
}

StoredWeight store_weight(const Tensor& weight, WeightFormat format) {
  const auto rounded = round_to(weight, format);
  return {.format = format,
          .outputs = weight.size(0),
          .inputs = weight.size(1),
          .values = kernels_for(weight).arranged(rounded.values),
          .scales = rounded.scales};
}

void lay_out(const std::vector<StoredWeight*>& weights) {
  if (!weights.empty()) kernels_for(weights.front()->values).lay_out(weights);
}

Tensor rounded_weight(const Tensor& weight, WeightFormat format) {
  const auto rounded = round_to(weight, format);
  const auto values = rounded.values.to(at::kFloat);
  return rounded.scales.defined() ? values * rounded.scales.unsqueeze(1) : values;
}

void few_row_linear(const Tensor& x, const StoredWeight& weight, const Tensor& out, Into into) {
  check(x, weight, out);
  kernels_for(x).linear(x, weight, out, into);
}

void few_row_swiglu(const Tensor& x, const StoredWeight& gate, const StoredWeight& up,
                    const Tensor& out) {
  check(x, gate, out);
  check(x, up, out);
  TORCH_CHECK(gate.format == up.format, "few_row_swiglu: both weights must have one format");
  kernels_for(x).swiglu(x, gate, up, out);
}

void few_row_rms_norm(const Tensor& x, const Tensor& weight, double eps, const Tensor& out) {
  TORCH_CHECK(x.dim() == 2 && x.is_contiguous() && x.scalar_type() == at::kFloat &&
                  out.sizes() == x.sizes() && out.is_contiguous() &&
                  out.scalar_type() == at::kFloat && weight.is_contiguous() &&
                  weight.scalar_type() == at::kFloat && weight.numel() == x.size(1),
              "few_row_rms_norm: x and out must be contiguous float32 [R, K] and weight [K], got ",
              x.sizes(), ", ", out.sizes(), ", ", weight.sizes());
  kernels_for(x).rms_norm(x, weight, eps, out);
}

}  // namespace gear::ops
