// Kind optim: optimizer steps with given gradients, and the cosine schedule.

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "gear/train/adamw.h"
#include "gear/train/ema.h"
#include "gear/train/grad_clip.h"
#include "gear/train/schedule.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {
namespace {

using train::NamedTensors;

train::OptimizerConfig optimizer_config_from(const nlohmann::json& run) {
  train::OptimizerConfig config;
  config.beta1 = run.at("adam_beta1");
  config.beta2 = run.at("adam_beta2");
  config.eps = run.at("adam_epsilon");
  config.weight_decay = run.at("adam_weight_decay");
  config.max_grad_norm = run.at("max_grad_norm");
  config.warmup_steps = run.at("warmup_steps");
  config.ema_decay = run.at("ema_decay");
  return config;
}

/// Zeros for every buffer of the case; the values of each step are inputs.
NamedTensors make_buffers(const nlohmann::json& config) {
  NamedTensors buffers;
  if (!config.contains("buffers")) return buffers;
  for (const auto& [name, description] : config.at("buffers").items()) {
    const auto shape = description.at(0).get<std::vector<int64_t>>();
    const bool integer = description.at(1) == "int64";
    buffers.emplace_back(name, at::zeros(shape, integer ? at::kLong : at::kFloat));
  }
  return buffers;
}

NamedTensors zeros_like_all(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) {
    copies.emplace_back(name, at::zeros(tensor.sizes(), tensor.scalar_type()));
  }
  return copies;
}

void check_run(const Case& golden, Report& report, const nlohmann::json& run) {
  const auto config = optimizer_config_from(run);
  NamedTensors parameters;
  for (const auto& [name, weight] : golden.weights()) {
    parameters.emplace_back(name, weight.clone().requires_grad_(true));
  }
  const NamedTensors buffers = make_buffers(golden.config());
  NamedTensors live = parameters;
  live.insert(live.end(), buffers.begin(), buffers.end());
  const NamedTensors shadow = zeros_like_all(live);

  train::AdamW optimizer(parameters, train::adamw_options(config));
  train::Ema ema(live, shadow, config.ema_decay);

  const int64_t steps = golden.config().at("steps");
  for (int64_t step = 0; step < steps; ++step) {
    const std::string number = std::to_string(step);
    const std::string prefix = run.at("name").get<std::string>() + "." + number + ".";
    for (auto& [name, parameter] : parameters) {
      parameter.mutable_grad() = golden.input("grad." + number + "." + name).clone();
    }
    for (const auto& [name, buffer] : buffers) {
      buffer.copy_(golden.input("buffer." + number + "." + name));
    }
    report.output(prefix + "grad_norm", train::clip_and_check(parameters, config.max_grad_norm));
    for (const auto& [name, parameter] : parameters) {
      report.output(prefix + "clipped." + name, parameter.grad());
    }
    const double lr = train::scheduled_lr(config, run.at("lr"), step, steps);
    report.output(prefix + "lr", at::scalar_tensor(lr, at::kDouble));
    optimizer.step(lr);
    ema.update();
    for (const auto& [name, parameter] : parameters)
      report.output(prefix + "param." + name, parameter);
    for (const auto& [name, moment] : optimizer.state("").tensors)
      report.output(prefix + name, moment);
    for (const auto& [name, average] : shadow) report.output(prefix + "ema." + name, average);
  }
}

void check_cosine(const nlohmann::json& cosine, Report& report) {
  train::OptimizerConfig config;
  config.schedule = train::Schedule::kCosine;
  config.lr_min = cosine.at("lr_min");
  config.warmup_steps = cosine.at("lr_warmup_steps");
  std::vector<double> rates;
  for (const int64_t step : cosine.at("at")) {
    rates.push_back(
        train::scheduled_lr(config, cosine.at("ar_lr"), step, cosine.at("effective_max_steps")));
  }
  report.output("cosine_lr", at::tensor(rates, at::kDouble));
}

}  // namespace

Outcome check_optim(const Case& golden, Report& report) {
  for (const auto& run : golden.config().at("runs")) check_run(golden, report, run);
  if (golden.config().contains("cosine")) check_cosine(golden.config().at("cosine"), report);
  report.require_all_outputs_compared();
  return {};
}

}  // namespace gear::golden
