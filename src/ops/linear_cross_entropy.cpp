#include "gear/ops/linear_cross_entropy.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "gear/core/error.h"
#include "ops/linear_cross_entropy_kernels.h"
#include "ops/without_autocast.h"

// T tokens, C model width, K classes, R rows of a block

namespace gear::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// 16 MiB of float32 logits: large enough for products at full speed, small enough to stay in the
// last-level cache between them.
constexpr int64_t kBlockValues = int64_t{1} << 22;

const CrossEntropyKernels& kernels_for(const Tensor& tensor) {
#ifdef GEAR_WITH_CUDA
  if (tensor.is_cuda()) return kCudaCrossEntropy;
#endif
  TORCH_CHECK(tensor.is_cpu(), "linear_cross_entropy: no kernels for ", tensor.device());
  return kCpuCrossEntropy;
}

/// What is computed for all blocks together.
struct Sums {
  Tensor loss{};       // scalar, the mean
  Tensor to_x{};       // [T, C], undefined unless asked for
  Tensor to_weight{};  // [K, C], undefined unless asked for
};

class Blocks {
 public:
  Blocks(const Tensor& x, const Tensor& weight, const Tensor& targets, bool bfloat16_products)
      : x_(x),
        targets_(targets),
        result_type_(weight.scalar_type()),
        product_type_(bfloat16_products ? at::kBFloat16 : weight.scalar_type()),
        weight_(weight.to(product_type_)),
        share_((targets >= 0).sum().to(result_type_).reciprocal()) {}

  Sums run(bool with_x, bool with_weight) const {
    const int64_t tokens = x_.size(0);
    const auto losses = at::empty({tokens}, weight_.options().dtype(result_type_));
    Sums sums;
    if (with_x) sums.to_x = at::empty_like(x_);
    if (with_weight)
      sums.to_weight = at::zeros_like(weight_, weight_.options().dtype(result_type_));
    const int64_t block_rows = std::max<int64_t>(1, kBlockValues / weight_.size(0));
    for (int64_t row = 0; row < tokens; row += block_rows) {
      visit(row, std::min(block_rows, tokens - row), losses, sums);
    }
    sums.loss = losses.sum() * share_;
    return sums;
  }

 private:
  void visit(int64_t row, int64_t rows, const Tensor& losses, const Sums& sums) const {
    const auto x = x_.narrow(0, row, rows).to(product_type_);     // [R, C]
    const auto logits = at::mm(x, weight_.t()).to(result_type_);  // [R, K]
    const LogitRows block{.logits = logits,
                          .targets = targets_.narrow(0, row, rows),
                          .losses = losses.narrow(0, row, rows)};
    if (!sums.to_x.defined() && !sums.to_weight.defined()) {
      kernels_for(logits).losses(block);
      return;
    }
    kernels_for(logits).losses_and_gradient(block, share_);
    const auto gradient = logits.to(product_type_);  // [R, K], of the logits
    if (sums.to_x.defined()) sums.to_x.narrow(0, row, rows).copy_(at::mm(gradient, weight_));
    if (!sums.to_weight.defined()) return;
    if (product_type_ == result_type_) {
      sums.to_weight.addmm_(gradient.t(), x);
    } else {
      sums.to_weight.add_(at::mm(gradient.t(), x));
    }
  }

  const Tensor& x_;
  const Tensor& targets_;
  const at::ScalarType result_type_, product_type_;
  const Tensor weight_;  // [K, C] in product_type_
  const Tensor share_;   // scalar, 1 / number of rows that count
};

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& targets, bool bfloat16_products, bool will_differentiate) {
    const WithoutAutocast own_types;
    const bool with_x = will_differentiate && x.requires_grad();
    const bool with_weight = will_differentiate && weight.requires_grad();
    const auto sums = Blocks(x, weight, targets, bfloat16_products).run(with_x, with_weight);
    context->save_for_backward({sums.to_x, sums.to_weight});
    return sums.loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    auto saved = context->get_saved_variables();
    for (Tensor& gradient : saved) {
      if (gradient.defined()) gradient = gradient * gradients[0].to(gradient.scalar_type());
    }
    return {saved[0], saved[1], Variable(), Variable(), Variable()};
  }
};

void check(const Tensor& x, const Tensor& weight, const Tensor& targets) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(1) &&
                  targets.dim() == 1 && targets.size(0) == x.size(0) && x.size(0) > 0,
              "linear_cross_entropy: x must be [T, C], weight [K, C], targets [T], got ", x.sizes(),
              ", ", weight.sizes(), ", ", targets.sizes());
  TORCH_CHECK(targets.scalar_type() == at::kLong, "linear_cross_entropy: targets must be int64");
  TORCH_CHECK(weight.scalar_type() == at::kFloat || weight.scalar_type() == at::kDouble,
              "linear_cross_entropy: weight must be float32 or float64, got ",
              weight.scalar_type());
}

}  // namespace

Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets,
                            const LinearCrossEntropyOptions& options) {
  check(x, weight, targets);
  const auto counted = at::where(targets == options.ignored_target, -1, targets);  // [T]
  if (counted.is_cpu()) {  // elsewhere looking at values would wait for the device
    TORCH_CHECK(
        counted.min().item<int64_t>() >= -1 && counted.max().item<int64_t>() < weight.size(0),
        "linear_cross_entropy: a target is outside 0 to ", weight.size(0) - 1);
  }
  return LinearCrossEntropy::apply(x, weight, counted, options.bfloat16_products,
                                   at::GradMode::is_enabled());
}

}  // namespace gear::ops
