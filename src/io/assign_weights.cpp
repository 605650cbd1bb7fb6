#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <set>

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/tensor.h"
#include "gear/core/text.h"
#include "gear/io/weights.h"

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

void check_fits(const std::string& where, const at::Tensor& source, const at::Tensor& target) {
  // [] and [1] hold the same single value; frameworks disagree about counters and scalars.
  if (source.numel() != 1 || target.numel() != 1) expect_sizes(source, target.sizes(), where);
  if (source.is_floating_point() && !target.is_floating_point()) {
    fail(where, ": expected ", c10::toString(target.scalar_type()), ", got ",
         c10::toString(source.scalar_type()));
  }
}

}  // namespace

AssignReport assign_weights(torch::nn::Module& module, const TensorMap& tensors,
                            const std::string& source, const AssignOptions& options) {
  struct Copy {
    at::Tensor target, value;
  };
  std::vector<Copy> copies;
  std::vector<std::string> missing;
  std::set<std::string> used;
  AssignReport report;
  const auto plan = [&](const std::string& name, const at::Tensor& target, bool required) {
    const auto found = tensors.find(options.prefix + name);
    if (found == tensors.end()) {
      const bool optional = !required || begins_with_any(name, options.may_be_missing);
      (optional ? report.kept : missing).push_back(name);
      return;
    }
    check_fits(source + ": " + found->first, found->second, target);
    used.insert(found->first);
    copies.push_back({target, found->second});
  };
  for (const auto& item : module.named_parameters()) plan(item.key(), item.value(), true);
  for (const auto& item : module.named_buffers()) plan(item.key(), item.value(), false);
  if (!missing.empty()) fail_for_missing(source, std::move(missing));

  const at::NoGradGuard no_grad;
  for (const Copy& copy : copies) copy.target.copy_(copy.value.view_as(copy.target));
  for (const auto& [name, tensor] : tensors) {
    if (!used.contains(name)) report.unused.push_back(name);
  }
  tell_unused(source, options.prefix, report.unused);
  return report;
}

}  // namespace gear::io
