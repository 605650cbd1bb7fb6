#include "gear/core/error.h"
#include "gear/io/weights.h"
#include "gear/models/critics/lpips.h"

namespace gear::models {
namespace {

/// Names of torchvision's VGG-16 ("features.10.weight") to the registered ones, which keep the
/// index inside the stage ("net.slice3.10.weight"). The classifier has no place here.
io::TensorMap vgg_tensors(const Lpips& lpips, const io::TensorMap& file) {
  io::TensorMap tensors;
  for (size_t i = 0; i < lpips->net->stages.size(); ++i) {
    const std::string stage = "net.slice" + std::to_string(i + 1) + ".";
    for (const auto& item : lpips->net->stages[i]->named_parameters()) {
      const auto found = file.find("features." + item.key());
      if (found != file.end()) tensors[stage + item.key()] = found->second;
    }
  }
  return tensors;
}

/// Copies the tensors; where they do not fit, says which file would.
void assign(torch::nn::Module& module, const io::TensorMap& tensors, const std::string& path,
            const std::vector<std::string>& may_be_missing, const char* expected) {
  try {
    io::assign_weights(module, tensors, path, {.prefix = "", .may_be_missing = may_be_missing});
  } catch (const Error& error) {
    fail(error.what(), "; expected ", expected);
  }
}

void expect_non_negative(const io::TensorMap& tensors, const std::string& path) {
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with("lin") && tensor.lt(0).any().item<bool>()) {
      fail(path, ": ", name, ": expected weights of at least 0, got ", tensor.min().item<float>(),
           "; use vgg.pth of LPIPS v0.1");
    }
  }
}

}  // namespace

Lpips make_lpips(const std::string& vgg_path, const std::string& linear_path) {
  Lpips lpips;
  if (!vgg_path.empty()) {
    const auto tensors = vgg_tensors(lpips, io::load_tensors(vgg_path));
    if (tensors.empty()) {
      fail(vgg_path, ": holds no features.*.weight; expected torchvision's vgg16-397923af.pth");
    }
    assign(*lpips, tensors, vgg_path, {"lin", "scaling_layer."},
           "torchvision's vgg16-397923af.pth");
  }
  if (!linear_path.empty()) {
    const auto tensors = io::load_tensors(linear_path);
    expect_non_negative(tensors, linear_path);
    assign(*lpips, tensors, linear_path, {"net.", "scaling_layer."}, "vgg.pth of LPIPS v0.1");
  }
  return lpips;
}

std::string missing_lpips_weights_notice(const std::string& vgg_path,
                                         const std::string& linear_path) {
  std::string what, files, keys;
  const auto add = [&](const char* part, const char* file, const char* key) {
    const char* joint = what.empty() ? "" : " and ";
    what += std::string(joint) + part;
    files += std::string(joint) + file;
    keys += std::string(joint) + key;
  };
  if (vgg_path.empty()) {
    add("VGG-16 features", "torchvision's vgg16-397923af.pth", "loss.lpips_vgg_weights");
  }
  if (linear_path.empty()) {
    add("linear weights",
        "weights/v0.1/vgg.pth of github.com/richzhang/PerceptualSimilarity (MD5 "
        "d507d7349b931f0638a25a48a722f98a)",
        "loss.lpips_linear_weights");
  }
  if (what.empty()) return "";
  return "the perceptual loss has random " + what +
         " and measures no perceptual distance; download " + files + " and set " + keys +
         " to the path";
}

}  // namespace gear::models
