#include "gear/train/memory_estimate.h"

#include <algorithm>
#include <fstream>
#include <limits>

#include "gear/core/text.h"
#include "gear/models/ar/ar_model.h"
#include "gear/nn/meta_scope.h"

namespace gear::train {
namespace {

constexpr double kFloat = 4.0;

double parameter_count(const torch::nn::Module& module) {
  double count = 0.0;
  for (const auto& parameter : module.parameters()) count += static_cast<double>(parameter.numel());
  return count;
}

/// Values kept for the backward pass of the convolutional tokenizer, per image: every residual block
/// keeps about six maps of its level (two norms, two activations, two convolutions).
double tokenizer_values(const RunConfig& config) {
  constexpr double kMapsPerBlock = 6.0;
  double values = 0.0;
  for (size_t level = 0; level < config.tokenizer.ch_mult.size(); ++level) {
    const double side = static_cast<double>(config.data.image_size >> level);
    const double width = static_cast<double>(config.tokenizer.ch * config.tokenizer.ch_mult[level]);
    const double blocks = 2.0 * static_cast<double>(config.tokenizer.num_res_blocks) + 1.0;
    values += kMapsPerBlock * blocks * width * side * side;
  }
  return values;
}

/// Values kept for the backward pass of the transformer, per image.
double ar_values(const models::ArConfig& ar) {
  const double length = static_cast<double>(ar.num_tokens);
  const double per_block =
      length * (10.0 * static_cast<double>(ar.dim) + 4.0 * static_cast<double>(ar.ffn_dim()));
  const double blocks = ar.activation_checkpointing ? 1.0 : static_cast<double>(ar.depth);
  constexpr double kLogitCopies = 3.0;  // logits, their softmax, their gradient
  return blocks * per_block + kLogitCopies * length * static_cast<double>(ar.vocab_size);
}

double number_after(const std::string& path, const std::string& label) {
  std::ifstream stream(path);
  std::string word;
  double value = -1.0;
  if (label.empty()) {
    stream >> value;
    return stream ? value : -1.0;
  }
  while (stream >> word) {
    if (word == label && stream >> value) return value;
  }
  return -1.0;
}

}  // namespace

MemoryEstimate estimate_memory(const RunConfig& config) {
  const nn::MetaScope meta;
  constexpr double kTrained = 5.0;  // weight, gradient, two moments, average
  const bool joint = config.recipe == RecipeKind::kGear;
  const double micro_batch =
      static_cast<double>(config.data.batch_size / config.optimizer.accumulation);
  const models::ArConfig ar = config.resolved_ar();

  MemoryEstimate estimate;
  const double tokenizer = parameter_count(*models::make_tokenizer(config.tokenizer));
  estimate.parameters += kFloat * tokenizer * (config.recipe == RecipeKind::kAr ? 1.0 : kTrained);
  if (config.recipe != RecipeKind::kTokenizer) {
    estimate.parameters += kFloat * kTrained * parameter_count(*models::ArModel(ar));
  }
  const double activation_bytes = config.precision == Precision::kBf16 ? 2.5 : kFloat;
  const double tokens = micro_batch * static_cast<double>(ar.num_tokens);
  const double matrix = kFloat * tokens * static_cast<double>(ar.vocab_size);
  if (config.recipe != RecipeKind::kAr) {
    estimate.activations += activation_bytes * micro_batch * tokenizer_values(config);
    estimate.read_out += (joint ? 8.0 : 5.0) * matrix;  // cost, entropy terms, soft read-out
  }
  if (config.recipe != RecipeKind::kTokenizer) {
    estimate.activations += activation_bytes * micro_batch * ar_values(ar);
  }
  return estimate;
}

double available_memory() {
  double available = number_after("/proc/meminfo", "MemAvailable:") * 1024.0;
  const double limit = number_after("/sys/fs/cgroup/memory.max", "");
  const double used = number_after("/sys/fs/cgroup/memory.current", "");
  if (limit > 0.0 && used >= 0.0) available = std::min(available, limit - used);
  return available > 0.0 ? available : std::numeric_limits<double>::infinity();
}

void expect_enough_memory(const RunConfig& config, double available) {
  const MemoryEstimate estimate = estimate_memory(config);
  if (estimate.total() <= available) return;
  const double per_step = estimate.activations + estimate.read_out;
  std::string advice =
      "lower ar.dim, ar.depth or tokenizer.ch, or use a machine with more memory";
  if (estimate.parameters < 0.7 * available) {
    advice = "raise optimizer.accumulation (now " + std::to_string(config.optimizer.accumulation) +
             "; " + format_bytes(per_step) + " belong to one micro-batch), or lower data.batch_size";
  }
  fail("this run needs about ", format_bytes(estimate.total()), " (", format_bytes(estimate.parameters),
       " for weights and optimizers, ", format_bytes(per_step), " for a step), but ",
       format_bytes(available), " are free; ", advice);
}

}  // namespace gear::train
