#include "golden_runner/golden_case.h"

#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "gear/core/error.h"
#include "gear/core/tensor.h"
#include "gear/io/safetensors.h"

namespace gear::golden {
namespace {

Tensors read_tensors(const std::filesystem::path& path) {
  Tensors tensors;
  const io::SafetensorsFile file(path);
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name).clone();
  return tensors;
}

/// Largest |a - b| - rtol |b| relative to atol, as error and bound of the worst element.
struct WorstElement {
  double error = 0.0;
  double bound = 0.0;
  double ratio = 0.0;
};

WorstElement worst_element(const at::Tensor& found, const at::Tensor& expected, double atol,
                           double rtol) {
  const auto a = found.to(at::kDouble).flatten();
  const auto b = expected.to(at::kDouble).flatten();
  if (a.numel() == 0) return {};
  const auto error = (a - b).abs();
  const auto bound = b.abs() * rtol + atol;
  // Equal infinities (masked logits) differ by NaN but agree.
  const auto ratio = at::where(a == b, at::zeros_like(error), error / bound);
  const auto safe = at::where(ratio.isnan(), at::full_like(ratio, INFINITY), ratio);
  const int64_t index = safe.argmax().item<int64_t>();
  return {error[index].item<double>(), bound[index].item<double>(), safe[index].item<double>()};
}

std::string scientific(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", value);
  return text;
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace

Case::Case(const std::filesystem::path& folder) : folder_(folder) {
  std::ifstream stream(folder / "case.json");
  json_ = nlohmann::json::parse(stream);
  weights_ = read_part("weights");
  inputs_ = read_part("inputs");
  outputs_ = read_part("outputs");
  grads_ = read_part("grads");
}

Tensors Case::read_part(const std::string& part) const {
  const auto files = json_.value("files", nlohmann::json::object());
  if (files.contains(part)) return read_tensors(folder_ / files.at(part).get<std::string>());
  const auto usual = folder_ / (part + ".safetensors");
  return std::filesystem::exists(usual) ? read_tensors(usual) : Tensors{};
}

at::Tensor Case::input(const std::string& name) const {
  const auto found = inputs_.find(name);
  if (found == inputs_.end()) fail(folder_.string(), ": inputs.safetensors lacks ", name);
  return found->second;
}

Report::Report(const Case& golden) : golden_(golden) {}

void Report::output(const std::string& name, const at::Tensor& found) {
  const auto expected = golden_.outputs().find(name);
  if (expected == golden_.outputs().end()) return;  // not every case stores every output
  compare("outputs", name, found, expected->second);
}

void Report::grad(const std::string& name, const at::Tensor& found) {
  const auto expected = golden_.grads().find(name);
  if (expected == golden_.grads().end()) return;
  compare("grads", name, found, expected->second);
}

void Report::compare(const std::string& group, const std::string& name, const at::Tensor& found,
                     const at::Tensor& expected) {
  const std::string label = group + "." + name;
  compared_.push_back(label);
  ++count_;
  if (!found.defined()) {
    failures_.push_back(label + ": nothing was computed");
    return;
  }
  if (found.numel() != expected.numel() ||
      (found.sizes() != expected.sizes() && expected.dim() > 0 && expected.numel() > 1)) {
    failures_.push_back(label + ": expected " + sizes_string(expected.sizes()) + ", got " +
                        sizes_string(found.sizes()));
    return;
  }
  if (!expected.is_floating_point()) {
    const auto same = found.flatten().to(expected.scalar_type()) == expected.flatten();
    const int64_t different = same.logical_not().sum().item<int64_t>();
    if (different > 0) {
      failures_.push_back(label + ": " + std::to_string(different) + " of " +
                          std::to_string(expected.numel()) + " values differ");
    }
    return;
  }
  const auto& json = golden_.json();
  double atol = 1e-6;
  double rtol = 1e-4;
  if (json.contains("tolerance") && json["tolerance"].contains("rtol")) {
    rtol = json["tolerance"]["rtol"].get<double>();
  }
  if (json.contains("tensors") && json["tensors"].contains(group) &&
      json["tensors"][group].contains(name) && json["tensors"][group][name].contains("atol")) {
    atol = json["tensors"][group][name]["atol"].get<double>();
  }
  const WorstElement worst = worst_element(found.detach(), expected, atol, rtol);
  if (worst.ratio > worst_ratio_) {
    worst_ratio_ = worst.ratio;
    worst_name_ = label;
    worst_error_ = worst.error;
    worst_bound_ = worst.bound;
  }
  if (!(worst.ratio <= 1.0)) {
    failures_.push_back(label + ": error " + scientific(worst.error) + " is above " +
                        scientific(worst.bound));
  }
}

void Report::within(const std::string& name, double error, double bound) {
  ++count_;
  const double ratio = bound > 0 ? error / bound : (error == 0 ? 0.0 : INFINITY);
  if (ratio > worst_ratio_) {
    worst_ratio_ = ratio;
    worst_name_ = name;
    worst_error_ = error;
    worst_bound_ = bound;
  }
  if (!(ratio <= 1.0)) {
    failures_.push_back(name + ": error " + scientific(error) + " is above " + scientific(bound));
  }
}

void Report::expect(const std::string& name, bool holds) {
  ++count_;
  if (!holds) failures_.push_back(name + ": does not hold");
}

void Report::require_all_outputs_compared(const std::vector<std::string>& ignore) {
  for (const auto& [name, tensor] : golden_.outputs()) {
    if (!contains(compared_, "outputs." + name) && !contains(ignore, name)) {
      failures_.push_back("outputs." + name + ": stored, but never compared");
    }
  }
}

void Report::require_all_grads_compared(const std::vector<std::string>& ignore) {
  for (const auto& [name, tensor] : golden_.grads()) {
    if (!contains(compared_, "grads." + name) && !contains(ignore, name)) {
      failures_.push_back("grads." + name + ": stored, but never compared");
    }
  }
}

std::string Report::summary() const {
  std::string text = std::to_string(count_) + " checks";
  if (!worst_name_.empty()) {
    text += ", worst " + worst_name_ + ": " + scientific(worst_error_) + " of " +
            scientific(worst_bound_);
  }
  return text;
}

void load_weights(torch::nn::Module& module, const Tensors& weights, const std::string& prefix) {
  const at::NoGradGuard no_grad;
  std::vector<std::string> used;
  const auto copy = [&](const std::string& name, at::Tensor target) {
    const auto found = weights.find(prefix + name);
    if (found == weights.end()) fail("weights.safetensors lacks ", prefix, name);
    expect_sizes(found->second, target.sizes(), prefix + name);
    target.copy_(found->second);
    used.push_back(prefix + name);
  };
  for (auto& item : module.named_parameters()) copy(item.key(), item.value());
  for (auto& item : module.named_buffers()) {
    if (weights.contains(prefix + item.key())) copy(item.key(), item.value());
  }
  for (const auto& [name, tensor] : weights) {
    if (name.starts_with(prefix) && !contains(used, name)) {
      fail("weights.safetensors: ", name, " has no place in the network");
    }
  }
}

at::Tensor formula_tensor(const std::string& name, at::IntArrayRef shape, double scale,
                          double offset, uint64_t seed) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const unsigned char byte : name) hash = (hash ^ byte) * 0x100000001B3ULL;
  const uint64_t base = hash + seed * 0x9E3779B97F4A7C15ULL + 0x9E3779B97F4A7C15ULL;
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* data = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    uint64_t k = base + static_cast<uint64_t>(i);
    k = (k ^ (k >> 30)) * 0xBF58476D1CE4E5B9ULL;
    k = (k ^ (k >> 27)) * 0x94D049BB133111EBULL;
    k ^= k >> 31;
    const float unit = static_cast<float>(k >> 40) * 0x1.0p-24F;
    data[i] = static_cast<float>(scale) * (2.0F * unit - 1.0F) + static_cast<float>(offset);
  }
  return tensor;
}

void fill_by_formula(torch::nn::Module& module, const nlohmann::json& weights_formula,
                     uint64_t seed) {
  Tensors weights;
  for (const auto& [name, entry] : weights_formula.at("table").items()) {
    const auto shape = entry.at("shape").get<std::vector<int64_t>>();
    weights[name] = formula_tensor(name, shape, entry.at("scale").get<double>(),
                                   entry.at("offset").get<double>(), seed);
  }
  for (const auto& [name, values] : weights_formula.at("check").items()) {
    const auto flat = weights.at(name).flatten();
    for (size_t i = 0; i < values.size(); ++i) {
      if (flat[static_cast<int64_t>(i)].item<float>() != values[i].get<float>()) {
        fail("weights_formula.check: ", name, "[", i, "] is not what the formula gives");
      }
    }
  }
  load_weights(module, weights);
}

}  // namespace gear::golden
