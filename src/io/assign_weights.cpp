#include <ATen/core/grad_mode.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <set>
#include <utility>

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/tensor.h"
#include "gear/core/text.h"
#include "gear/io/weight_targets.h"

namespace gear::io {
namespace {

constexpr size_t kNamesInMessage = 5;

bool begins_with_any(const std::string& name, const std::vector<std::string>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](const std::string& beginning) { return name.starts_with(beginning); });
}

[[noreturn]] void fail_for_missing(const std::string& source, std::vector<std::string> missing) {
  const size_t count = missing.size();
  if (count > kNamesInMessage) {
    missing.resize(kNamesInMessage);
    missing.emplace_back("...");
  }
  fail(source, ": lacks ", count, " of the model's parameters (", join(missing),
       "); the file is of another model, or another configuration of it");
}

/// Nothing of a file is left out in silence. What stands outside of the prefix is another network.
void tell_unused(const std::string& source, const std::string& prefix,
                 const std::vector<std::string>& unused) {
  std::vector<std::string> names;
  size_t count = 0;
  for (const std::string& name : unused) {
    if (!name.starts_with(prefix)) continue;
    if (++count <= kNamesInMessage) names.push_back(name);
  }
  if (count == 0) return;
  if (count > kNamesInMessage) names.emplace_back("...");
  log::info(source + ": left out " + std::to_string(count) + (count == 1 ? " tensor" : " tensors") +
            " that the model has no place for (" + join(names) + ")");
}

void check_fits(const std::string& where, const at::Tensor& source, const WeightTarget& target) {
  // [] and [1] hold the same single value; frameworks disagree about counters and scalars.
  const bool single = source.numel() == 1 && c10::multiply_integers(target.shape()) == 1;
  if (!single) expect_sizes(source, target.shape(), where);
  const at::ScalarType type = target.tensor.scalar_type();
  const bool loses = source.is_floating_point() ? !c10::isFloatingType(type) : source.is_complex();
  if (loses) {
    fail(where, ": expected ", c10::toString(type), ", got ", c10::toString(source.scalar_type()));
  }
}

void copy_values(const at::Tensor& source, const WeightTarget& target) {
  if (!target.slice) {
    target.tensor.copy_(source.view_as(target.tensor));
    return;
  }
  const int64_t count = target.tensor.numel();
  target.tensor.copy_(source.reshape({-1}).narrow(0, target.slice->offset, count));
}

std::vector<WeightTarget> targets_of(const torch::nn::Module& module,
                                     const std::vector<std::string>& may_be_missing) {
  std::vector<WeightTarget> targets;
  for (const auto& item : module.named_parameters()) {
    targets.push_back({.name = item.key(),
                       .tensor = item.value(),
                       .may_be_missing = begins_with_any(item.key(), may_be_missing)});
  }
  for (const auto& item : module.named_buffers()) {
    targets.push_back({.name = item.key(), .tensor = item.value(), .may_be_missing = true});
  }
  return targets;
}

}  // namespace

AssignReport assign_weights(torch::nn::Module& module, const TensorMap& tensors,
                            const std::string& source, const AssignOptions& options) {
  return assign_weights(targets_of(module, options.may_be_missing), tensors, source,
                        options.prefix);
}

AssignReport assign_weights(const std::vector<WeightTarget>& targets, const TensorMap& tensors,
                            const std::string& source, const std::string& prefix) {
  std::vector<std::pair<const WeightTarget*, at::Tensor>> copies;
  std::vector<std::string> missing;
  std::set<std::string> used;
  AssignReport report;
  for (const WeightTarget& target : targets) {
    const auto found = tensors.find(prefix + target.name);
    if (found == tensors.end()) {
      (target.may_be_missing ? report.kept : missing).push_back(target.name);
      continue;
    }
    check_fits(source + ": " + found->first, found->second, target);
    used.insert(found->first);
    copies.emplace_back(&target, found->second);
  }
  if (!missing.empty()) fail_for_missing(source, std::move(missing));

  const at::NoGradGuard no_grad;
  for (const auto& [target, value] : copies) copy_values(value, *target);
  for (const auto& [name, tensor] : tensors) {
    if (!used.contains(name)) report.unused.push_back(name);
  }
  tell_unused(source, prefix, report.unused);
  return report;
}

}  // namespace gear::io
