#include "gear/models/tokenizers/ibq_quantizer.h"

#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mse_loss.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include "gear/nn/autocast.h"
#include "models/tokenizers/token_rows.h"

namespace gear::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct BackPropagatedCodes : torch::autograd::Function<BackPropagatedCodes> {
  static Tensor forward(AutogradContext* context, const Tensor& cost, const Tensor& codes,
                        const Tensor& ids) {
    context->save_for_backward({cost, codes, ids});
    return codes.index_select(0, ids);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor& cost = saved[0];          // [T, K]
    const Tensor& codes = saved[1];         // [K, D]
    const Tensor& ids = saved[2];           // [T]
    const Tensor& gradient = gradients[0];  // [T, D]
    Tensor to_cost, to_codes;
    if (context->needs_input_grad(0)) {
      const auto p = at::softmax(-cost, 1);
      const auto to_p = at::mm(gradient, codes.t());  // [T, K]
      to_cost = at::_softmax_backward_data(to_p, p, 1, p.scalar_type()).neg_();
    }
    if (context->needs_input_grad(1)) to_codes = at::zeros_like(codes).index_add_(0, ids, gradient);
    return {to_cost, to_codes, Tensor()};
  }
};

}  // namespace

IbqQuantizer::IbqQuantizer(const QuantizerConfig& config)
    : Quantizer(config),
      embedding(register_module("embedding",
                                torch::nn::Embedding(config.codebook_size, config.codebook_dim))) {}

Quantized IbqQuantizer::forward(const Tensor& z) {
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  const auto rows = token_rows(z, config_.codebook_dim);
  const auto cost = costs(rows);
  const auto ids = cost.argmin(1);                                       // [T]
  const auto z_q = back_propagated_codes(cost, embedding->weight, ids);  // [T, D]
  QuantizerLosses losses;
  if (is_training()) {
    const auto chosen = embedding->weight.index_select(0, ids);  // [T, D]
    losses = entropy_losses(cost, config_);
    losses.codebook = at::mse_loss(z_q, rows) + at::mse_loss(rows, chosen.detach()) +
                      config_.commit_weight * at::mse_loss(chosen, rows.detach());
  }
  return {.z_q = as_latent(z_q, z), .ids = ids, .cost = cost, .losses = losses};
}

Tensor IbqQuantizer::nearest_ids(const Tensor& z) {
  const at::NoGradGuard no_grad;
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  return argmin_by_blocks(token_rows(z, config_.codebook_dim), config_.codebook_size,
                          [&](const Tensor& rows) { return costs(rows); });
}

Tensor IbqQuantizer::lookup(const Tensor& ids) { return embedding->weight.index_select(0, ids); }

Tensor IbqQuantizer::costs(const Tensor& rows) const {
  const auto& codes = embedding->weight;
  if (config_.cosine) return at::mm(-unit_rows(rows), unit_rows(codes).t());
  return at::mm(-rows, codes.t());
}

Tensor back_propagated_codes(const Tensor& cost, const Tensor& codes, const Tensor& ids) {
  return BackPropagatedCodes::apply(cost, codes, ids);
}

}  // namespace gear::models
