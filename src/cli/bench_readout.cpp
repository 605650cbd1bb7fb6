#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>

#include <algorithm>
#include <memory>

#include "cli/bench.h"
#include "gear/core/text.h"
#include "gear/ops/readout.h"

// T tokens, K codes, D width of the table

namespace gear::cli {
namespace {

struct Problem {
  Tensor z;          // [T, 8] on the unit sphere
  Tensor codes;      // [K, 8] on the unit sphere
  Tensor table;      // [K, D]
  Tensor to_lookup;  // [T, D], the gradient that arrives
};

constexpr double kTemperature = 0.1, kEntropyTemperature = 0.01;

Problem make_problem(const ReadoutBench& sizes) {
  const auto on_sphere = [](int64_t count) {
    const auto rows = at::randn({count, 8});
    return (rows / rows.norm(2, {1}, /*keepdim=*/true)).requires_grad_();
  };
  return {.z = on_sphere(sizes.tokens),
          .codes = on_sphere(sizes.codes),
          .table = at::randn({sizes.codes, sizes.dim}),
          .to_lookup = at::randn({sizes.tokens, sizes.dim})};
}

/// Costs |z|^2 + |e|^2 - 2 <z, e> as a product of width 10.
ops::Costs costs_of(const Problem& problem) {
  const auto square = [](const Tensor& x) { return x.square().sum(1, /*keepdim=*/true); };
  const auto ones = [](const Tensor& x) { return at::ones({x.size(0), 1}); };
  const auto& z = problem.z;
  const auto& codes = problem.codes;
  return {.left = at::cat({z * -2, square(z), ones(z)}, 1),
          .right = at::cat({codes, ones(codes), square(codes)}, 1)};
}

void backward(const Problem& problem, const Tensor& lookup, const Tensor& sample_entropy,
              const Tensor& mean_distribution) {
  const auto average = -(mean_distribution * (mean_distribution + 1e-5).log()).sum();
  ((lookup * problem.to_lookup).sum() + 0.05 * (sample_entropy - average)).backward();
}

/// By its definition, every step over the whole [T, K] matrix.
void dense(const Problem& problem) {
  const auto square = [](const Tensor& x) { return x.square().sum(1); };
  const auto cost = square(problem.z).unsqueeze(1) + square(problem.codes) -
                    2 * at::mm(problem.z, problem.codes.t());
  cost.argmin(1);
  const auto log_p = at::log_softmax(cost / -kEntropyTemperature, 1);
  const auto p = log_p.exp();
  {
    const at::NoGradGuard no_grad;
    for (const double temperature : {1.0, kTemperature}) {
      const auto soft = at::softmax(cost / -temperature, 1);
      (-(soft * soft.clamp_min(1e-12).log()).sum(1)).mean();
      at::topk(soft, std::min<int64_t>(1000, soft.size(1)), 1);
    }
  }
  const auto soft = at::softmax(cost / -kTemperature, 1);
  backward(problem, at::mm(soft, problem.table), -(p * log_p).sum(1).mean(), p.mean(0));
}

void streamed(const Problem& problem, bool bfloat16) {
  const auto readout = ops::read_out(costs_of(problem), problem.table,
                                     {.temperature = kTemperature,
                                      .bfloat16_products = bfloat16,
                                      .entropy_temperature = kEntropyTemperature,
                                      .diagnostics = {1.0, kTemperature}});
  backward(problem, readout.lookup, readout.sample_entropy, readout.mean_distribution);
}

}  // namespace

BenchReport bench_readout(const ReadoutBench& sizes) {
  const auto problem = std::make_shared<Problem>(make_problem(sizes));
  const auto counted = [&](int64_t a, int64_t b, int64_t c) {
    return 2.0 * static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
  };
  // s times the table and the gradient of s; the products of the costs are small beside them.
  const double operations = 2 * counted(sizes.tokens, sizes.codes, sizes.dim);
  const Volume volume{.operations = operations, .items = static_cast<double>(sizes.tokens)};
  std::vector<Contender> contenders;
  if (!sizes.skip_dense) {
    contenders.push_back({"dense formula, fp32", [=] { dense(*problem); }, volume});
  }
  contenders.push_back({"streamed, fp32", [=] { streamed(*problem, /*bfloat16=*/false); }, volume});
  if (sizes.bfloat16) {
    contenders.push_back(
        {"streamed, bf16 products", [=] { streamed(*problem, /*bfloat16=*/true); }, volume});
  }
  return {.subject = "read-out with diagnostics, forward and backward: " +
                     format_count(sizes.tokens) + " tokens, " + format_count(sizes.codes) +
                     " codes, table of width " + format_count(sizes.dim),
          .items = "tokens",
          .measurements = measure(contenders, sizes.rounds)};
}

}  // namespace gear::cli
