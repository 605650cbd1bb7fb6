#include "gear/ops/readout.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "ops/optional_tensor.h"
#include "ops/readout_passes.h"
#include "ops/without_autocast.h"

// T tokens, K codes, P width of the product, D width of the table

namespace gear::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

/// Rows of a gradient of the table when the lookup was an indexed one.
Tensor scattered(const Tensor& gradient, const Tensor& ids, const Tensor& table) {
  return at::zeros_like(table).index_add_(0, ids, gradient);
}

struct ReadoutFunction : torch::autograd::Function<ReadoutFunction> {
  /// Returns those of lookup, sample entropy and mean distribution that are wanted.
  static variable_list forward(AutogradContext* context, const Tensor& left, const Tensor& right,
                               const std::optional<Tensor>& given_table,
                               const ReadoutOptions& options, bool will_differentiate,
                               TokenStatistics* statistics) {
    const WithoutAutocast full_precision;
    const Costs costs{.left = left, .right = right};
    const Tensor table = given_table.value_or(Tensor());
    *statistics = measure(costs, options);
    variable_list outputs;
    Tensor soft;
    if (table.defined()) {
      if (!options.straight_through || will_differentiate) {
        soft = soft_lookup(costs, table, *statistics, options);
      }
      outputs.push_back(options.straight_through ? table.index_select(0, statistics->ids) : soft);
    }
    if (options.entropy_temperature > 0) {
      outputs.push_back(statistics->entropy.mean());
      outputs.push_back(statistics->mean_distribution);
    }

    context->save_for_backward({left, right, table, soft, statistics->ids, statistics->lowest,
                                statistics->lookup_normaliser, statistics->entropy_normaliser,
                                statistics->entropy});
    context->saved_data["temperature"] = options.temperature;
    context->saved_data["straight_through"] = options.straight_through;
    context->saved_data["bfloat16_products"] = options.bfloat16_products;
    context->saved_data["entropy_temperature"] = options.entropy_temperature;
    context->set_materialize_grads(false);
    return outputs;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const WithoutAutocast full_precision;
    const auto saved = context->get_saved_variables();
    const Costs costs{.left = saved[0], .right = saved[1]};
    const Tensor& table = saved[2];
    const Tensor& soft = saved[3];
    const TokenStatistics statistics{.ids = saved[4],
                                     .lowest = saved[5],
                                     .lookup_normaliser = saved[6],
                                     .entropy_normaliser = saved[7],
                                     .entropy = saved[8]};
    const ReadoutOptions options{
        .temperature = context->saved_data["temperature"].toDouble(),
        .straight_through = context->saved_data["straight_through"].toBool(),
        .bfloat16_products = context->saved_data["bfloat16_products"].toBool(),
        .entropy_temperature = context->saved_data["entropy_temperature"].toDouble()};
    size_t next = 0;
    const Tensor to_lookup = table.defined() ? gradients[next++] : Tensor();  // [T, D]
    ReadoutGradient upstream;
    if (options.entropy_temperature > 0) {
      upstream.sample_entropy = gradients[next++];
      upstream.mean_distribution = gradients[next];
    }
    if (to_lookup.defined() && soft.defined()) {
      upstream.lookup = to_lookup.contiguous();
      upstream.expected = (upstream.lookup * soft).sum(1);  // [T]
    }
    const bool needs_table = to_lookup.defined() && context->needs_input_grad(2);
    const bool needs_soft_table = needs_table && !options.straight_through;
    FactorGradients found;
    if (context->needs_input_grad(0) || context->needs_input_grad(1) || needs_soft_table) {
      found = propagate(costs, table, statistics, upstream, options, needs_soft_table);
    }
    if (needs_table && options.straight_through) {
      found.table = scattered(to_lookup, statistics.ids, table);
    }
    return {found.left, found.right, found.table, Variable(), Variable(), Variable()};
  }
};

void check(const Costs& costs, const Tensor& table, const ReadoutOptions& options) {
  const auto& [left, right] = costs;
  TORCH_CHECK(left.dim() == 2 && right.dim() == 2 && left.size(1) == right.size(1) &&
                  left.size(0) > 0 && right.size(0) > 0,
              "read_out: the factors of the costs must be [T, P] and [K, P], got ", left.sizes(),
              " and ", right.sizes());
  TORCH_CHECK(left.scalar_type() == right.scalar_type() &&
                  (left.scalar_type() == at::kFloat || left.scalar_type() == at::kDouble),
              "read_out: the costs must be float32 or float64, got ", left.scalar_type(), " and ",
              right.scalar_type());
  if (!table.defined()) return;
  TORCH_CHECK(table.dim() == 2 && table.size(0) == right.size(0) &&
                  table.scalar_type() == left.scalar_type(),
              "read_out: the table must be [K, D] with K = ", right.size(0),
              " in the type of the costs, got ", table.sizes(), " ", table.scalar_type());
  TORCH_CHECK(options.temperature > 0, "read_out: a table needs a temperature above 0, got ",
              options.temperature);
}

}  // namespace

Tensor Costs::matrix() const {
  const WithoutAutocast full_precision;
  return at::mm(left, right.t());
}

Costs Costs::detach() const { return {.left = left.detach(), .right = right.detach()}; }

Readout read_out(const Costs& costs, const Tensor& table, const ReadoutOptions& options) {
  check(costs, table, options);
  TokenStatistics statistics;
  const bool will_differentiate =
      at::GradMode::is_enabled() && (costs.left.requires_grad() || costs.right.requires_grad());
  const auto outputs =
      ReadoutFunction::apply(costs.left.contiguous(), costs.right.contiguous(), optional(table),
                             options, will_differentiate, &statistics);
  Readout result{.ids = statistics.ids, .diagnostics = std::move(statistics.diagnostics)};
  size_t next = 0;
  if (table.defined()) result.lookup = outputs[next++];
  if (options.entropy_temperature > 0) {
    result.sample_entropy = outputs[next++];
    result.mean_distribution = outputs[next];
  }
  return result;
}

}  // namespace gear::ops
