#include "io/weight_names.h"

#include <algorithm>

#include "gear/core/error.h"
#include "gear/io/weight_parts.h"

namespace gear::io {
namespace {

const std::string kCompiled = "_orig_mod.";
const std::string kParallel = "module.";
const std::string kShadow = "model_ema.";
const std::string kTrainingLoss = "loss.";  // discriminator and LPIPS of a tokenizer's training

/// LitEma drops the dots from names.
std::string shadow_of(std::string live) {
  std::erase(live, '.');
  return kShadow + live;
}

/// The model of a Lightning state_dict, EMA shadows in the place of live tensors.
PickledMap lightning_model(const PickledMap& tensors, const std::string& path) {
  PickledMap result;
  std::map<std::string, std::string> live_by_shadow;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(kShadow) || name.starts_with(kTrainingLoss)) continue;
    const std::string shadow = shadow_of(name);
    const auto [other, is_new] = live_by_shadow.emplace(shadow, name);
    if (!is_new && tensors.contains(shadow)) {
      fail(path, ": ", name, " and ", other->second, " share the EMA shadow ", shadow,
           "; save the averaged weights alone, under their own names");
    }
    const auto found = tensors.find(shadow);
    result[name] = found == tensors.end() ? tensor : found->second;
  }
  return result;
}

}  // namespace

std::string plain_weight_name(std::string name) {
  for (size_t at = name.find(kCompiled); at != std::string::npos; at = name.find(kCompiled, at)) {
    const bool whole_component = at == 0 || name[at - 1] == '.';
    if (whole_component) {
      name.erase(at, kCompiled.size());
    } else {
      at += kCompiled.size();
    }
  }
  while (name.starts_with(kParallel)) name.erase(0, kParallel.size());
  return name;
}

PickledMap tensors_of(const PickleValue& dict) {
  PickledMap tensors;
  for (const auto& [key, value] : dict.entries) {
    if (key->is(PickleValue::Kind::kString) && value->is(PickleValue::Kind::kTensor)) {
      tensors[key->text] = value->tensor;
    }
  }
  return tensors;
}

TensorMap values_of(const PickledMap& tensors) {
  TensorMap values;
  for (const auto& [name, tensor] : tensors) values[name] = tensor->values();
  return values;
}

TensorMap without_wrappers(const TensorMap& tensors, const std::string& path) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors) {
    const std::string plain = plain_weight_name(name);
    if (!result.emplace(plain, tensor).second) {
      fail(path, ": ", name, " and another tensor are both ", plain,
           " without the prefixes of torch.compile and data parallelism; save one of them alone");
    }
  }
  return result;
}

PickledMap section_tensors(const std::string& key, const PickleValue& dict,
                           const std::string& path) {
  const PickledMap tensors = tensors_of(dict);
  return key == "state_dict" ? lightning_model(tensors, path) : tensors;
}

std::vector<WeightPart> lightning_parts(WeightPart state_dict) {
  WeightPart live{state_dict.name, {}};
  WeightPart shadows{state_dict.name + "/model_ema", {}};
  WeightPart loss{state_dict.name + "/loss", {}};
  std::map<std::string, std::string> live_by_shadow;
  for (const StoredTensor& tensor : state_dict.tensors) {
    live_by_shadow.emplace(shadow_of(tensor.name), tensor.name);
  }
  for (StoredTensor& tensor : state_dict.tensors) {
    if (tensor.name.starts_with(kTrainingLoss)) {
      tensor.name.erase(0, kTrainingLoss.size());
      loss.tensors.push_back(std::move(tensor));
    } else if (tensor.name.starts_with(kShadow)) {
      const auto found = live_by_shadow.find(tensor.name);
      tensor.name =
          found == live_by_shadow.end() ? tensor.name.substr(kShadow.size()) : found->second;
      shadows.tensors.push_back(std::move(tensor));
    } else {
      live.tensors.push_back(std::move(tensor));
    }
  }
  std::vector<WeightPart> parts;
  for (WeightPart* part : {&live, &shadows, &loss}) {
    if (!part->tensors.empty()) parts.push_back(std::move(*part));
  }
  return parts;
}

}  // namespace gear::io
