#include "io/weight_names.h"

#include <algorithm>

#include "gear/core/error.h"

namespace gear::io {
namespace {

const std::string kCompiled = "_orig_mod.";
const std::string kParallel = "module.";
const std::string kShadow = "model_ema.";
const std::string kTrainingLoss = "loss.";  // discriminator and LPIPS of a tokenizer's training

std::string unwrapped(std::string name) {
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

}  // namespace

TensorMap without_wrappers(const TensorMap& tensors, const std::string& path) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors) {
    const std::string plain = unwrapped(name);
    if (!result.emplace(plain, tensor).second) {
      fail(path, ": ", name, " and another tensor are both ", plain,
           " without the prefixes of torch.compile and data parallelism");
    }
  }
  return result;
}

TensorMap lightning_model(const TensorMap& tensors, const std::string& path) {
  TensorMap result;
  std::map<std::string, std::string> live_by_shadow;  // LitEma drops the dots from names
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(kShadow) || name.starts_with(kTrainingLoss)) continue;
    std::string shadow = name;
    std::erase(shadow, '.');
    const auto [other, is_new] = live_by_shadow.emplace(shadow, name);
    if (!is_new && tensors.contains(kShadow + shadow)) {
      fail(path, ": ", name, " and ", other->second, " share the EMA shadow ", kShadow, shadow);
    }
    const auto found = tensors.find(kShadow + shadow);
    result[name] = found == tensors.end() ? tensor : found->second;
  }
  return result;
}

}  // namespace gear::io
