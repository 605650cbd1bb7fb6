#include "golden_runner/full_model.h"

#include <torch/nn/module.h>

#include <array>

namespace gear::golden {
namespace {

struct Family {
  const char* name_begins_with;
  Outcome (*check)(const Case&, Report&);
};

constexpr std::array kFamilies = {
    Family{"VQ-", check_full_tokenizer},      Family{"LFQ-", check_full_tokenizer},
    Family{"GLFQ-", check_full_tokenizer},    Family{"IBQ-", check_full_tokenizer},
    Family{"LlamaGen-", check_full_llamagen}, Family{"dinov2_", check_full_dinov2},
    Family{"dinov3_", check_full_dinov3},     Family{"PatchGAN", check_full_patchgan},
};

}  // namespace

Outcome check_full_model(const Case& golden, Report& report) {
  const auto model = golden.config().at("model").get<std::string>();
  for (const Family& family : kFamilies) {
    if (model.starts_with(family.name_begins_with)) return family.check(golden, report);
  }
  return {.handled = false, .not_built = "full-size " + model};
}

void fill_by_formula(torch::nn::Module& module, const Case& golden) {
  const auto& formula = golden.json().at("weights_formula");
  fill_by_formula(module, formula, formula.at("seed").get<uint64_t>());
}

void report_gradient_norms(const torch::nn::Module& module, Report& report) {
  for (const auto& item : module.named_parameters()) {
    const auto& grad = item.value().grad();
    report.grad("norm:" + item.key(), grad.defined() ? grad.to(at::kDouble).norm() : at::Tensor());
  }
}

}  // namespace gear::golden
