#include "gear/train/network_fit.h"

#include <set>

#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "gear/core/text.h"
#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/projector.h"
#include "gear/models/critics/patch_gan.h"
#include "gear/models/teachers/teacher.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/nn/meta_scope.h"
#include "gear/train/network_parts.h"

namespace gear::train {
namespace {

constexpr size_t kNamesInMessage = 5;
constexpr const char* kAdvice =
    "; it is of another model, or of another configuration: give the one that fits with --config";

models::Projector make_projector(const RunConfig& config) {
  models::TeacherConfig teachers = config.teacher;
  teachers.weights.clear();  // the shapes are enough
  std::vector<int64_t> widths;
  for (const auto& single : models::single_teachers(teachers)) {
    widths.push_back(models::make_teacher(single, config.grid())->feature_dim());
  }
  return models::Projector(config.ar.dim, config.loss.projector_dim, widths);
}

std::string network_of_group(const std::string& group) {
  constexpr const char* kAverage = "_ema";
  return group.ends_with(kAverage) ? group.substr(0, group.size() - 4) : group;
}

void expect_fit(const Tensor& tensor, const Tensor& expected, const std::string& what) {
  // [] and [1] hold the same single value; frameworks disagree about counters.
  const bool single = tensor.numel() == 1 && expected.numel() == 1;
  if (!single && tensor.sizes() != expected.sizes()) {
    fail(what, ": expected ", sizes_string(expected.sizes()), ", got ",
         sizes_string(tensor.sizes()), kAdvice);
  }
  if (tensor.is_floating_point() && !expected.is_floating_point()) {
    fail(what, ": expected ", c10::toString(expected.scalar_type()), ", got ",
         c10::toString(tensor.scalar_type()), kAdvice);
  }
}

/// Throws Error unless every name of the network is there. Names come first: another network has
/// some of the same ones, with other shapes.
void expect_names(const NamedTensors& network, const io::TensorMap& tensors,
                  const std::string& what) {
  std::vector<std::string> missing;
  for (const auto& [name, expected] : network) {
    if (!tensors.contains(name)) missing.push_back(name);
  }
  if (missing.empty()) return;
  const size_t count = missing.size();
  if (count > kNamesInMessage) {
    missing.resize(kNamesInMessage);
    missing.emplace_back("...");
  }
  fail(what, " lacks ", count, " of its tensors (", join(missing), ")", kAdvice);
}

}  // namespace

std::shared_ptr<torch::nn::Module> NetworkShapes::build(const std::string& group) const {
  const nn::MetaScope meta;
  const std::string network = network_of_group(group);
  if (network == "tokenizer") return models::make_tokenizer(config_.tokenizer);
  if (network == "ar") return models::ArModel(config_.resolved_ar()).ptr();
  if (network == "projector") return make_projector(config_).ptr();
  if (network == "discriminator") return models::PatchGan(config_.discriminator).ptr();
  fail("there is no network ", group, "; expected one of ", join(network_groups()));
}

TensorGroup NetworkShapes::network(const std::string& group) const {
  return module_group(group, *build(group));
}

std::vector<NamedParameter> NetworkShapes::trained_by(const std::string& optimizer_group) const {
  const std::string prefix = "optimizer_";
  TORCH_CHECK(optimizer_group.starts_with(prefix), "NetworkShapes: ", optimizer_group);
  const std::string owner = optimizer_group.substr(prefix.size());
  auto parameters = trainable_parameters(*build(owner), owner);
  if (owner == "ar" && config_.loss.repa) {  // one optimizer trains both
    const auto more = trainable_parameters(*build("projector"), "projector");
    parameters.insert(parameters.end(), more.begin(), more.end());
  }
  return parameters;
}

FittedNetwork fit_network(const NetworkShapes& shapes, const std::string& group,
                          const io::TensorMap& tensors, const std::string& source) {
  const std::string what = source + ": " + group;
  const NamedTensors network = shapes.network(group).tensors;
  expect_names(network, tensors, what);
  FittedNetwork fitted{.group = {group, {}}, .ignored = {}, .converted = {}};
  std::set<std::string> used;
  for (const auto& [name, expected] : network) {
    const Tensor& found = tensors.at(name);
    expect_fit(found, expected, what + ": " + name);
    if (found.scalar_type() != expected.scalar_type()) {
      fitted.converted.push_back(name + ": " + c10::toString(found.scalar_type()) + " to " +
                                 c10::toString(expected.scalar_type()));
    }
    fitted.group.tensors.emplace_back(
        name, found.detach().to(expected.scalar_type()).reshape(expected.sizes()));
    used.insert(name);
  }
  for (const auto& [name, tensor] : tensors) {
    if (!used.contains(name)) fitted.ignored.push_back(name);
  }
  return fitted;
}

}  // namespace gear::train
