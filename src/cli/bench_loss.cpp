#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <memory>

#include "cli/bench.h"
#include "gear/core/text.h"
#include "gear/ops/linear_cross_entropy.h"

// T tokens, C model width, K codes

namespace gear::cli {
namespace {

struct Problem {
  Tensor x;        // [T, C]
  Tensor weight;   // [K, C]
  Tensor targets;  // [T]
};

void clear(const Problem& problem) {
  problem.x.mutable_grad() = Tensor();
  problem.weight.mutable_grad() = Tensor();
}

}  // namespace

BenchReport bench_loss(const LossBench& sizes) {
  const auto problem = std::make_shared<Problem>(
      Problem{.x = at::randn({sizes.tokens, sizes.dim}).requires_grad_(),
              .weight = (0.02 * at::randn({sizes.codes, sizes.dim})).requires_grad_(),
              .targets = at::randint(sizes.codes, {sizes.tokens}, at::kLong)});
  const double product = 2.0 * static_cast<double>(sizes.tokens) *
                         static_cast<double>(sizes.codes) * static_cast<double>(sizes.dim);
  const double operations = 3 * product;  // logits, and the gradients of both factors
  const auto fused = [=](bool bfloat16) {
    clear(*problem);
    ops::linear_cross_entropy(problem->x, problem->weight, problem->targets,
                              {.bfloat16_products = bfloat16})
        .backward();
  };
  const Volume volume{.operations = operations, .items = static_cast<double>(sizes.tokens)};
  std::vector<Contender> contenders = {
      {"cross_entropy(linear(x)), fp32",
       [=] {
         clear(*problem);
         at::cross_entropy_loss(at::linear(problem->x, problem->weight), problem->targets)
             .backward();
       },
       volume},
      {"fused, fp32", [=] { fused(/*bfloat16=*/false); }, volume}};
  if (sizes.bfloat16) {
    contenders.push_back({"fused, bf16 products", [=] { fused(/*bfloat16=*/true); }, volume});
  }
  return {.subject = "vocabulary loss, forward and backward: " + format_count(sizes.tokens) +
                     " tokens, " + format_count(sizes.codes) + " codes, width " +
                     format_count(sizes.dim),
          .items = "tokens",
          .measurements = measure(contenders, sizes.rounds)};
}

}  // namespace gear::cli
