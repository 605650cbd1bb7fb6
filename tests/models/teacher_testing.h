#pragma once

#include <ATen/ops/randint.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/utils.h>

#include <array>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gear/io/safetensors.h"
#include "gear/io/weights.h"
#include "gear/models/teachers/teacher.h"
#include "gear/models/teachers/vit_teacher.h"
#include "io/temporary_folder.h"
#include "models/error_message.h"

/// What the tests of all vision teachers need.
namespace gear::models::testing {

using io::scratch_file;

/// A teacher of the least size that a configuration can ask for.
inline TeacherConfig custom_teacher() {
  TeacherConfig config;
  config.model = "dinov2-custom";
  config.custom_dim = 8;
  config.custom_depth = 2;
  config.custom_heads = 2;
  return config;
}

inline io::TensorMap parameters_by_name(const torch::nn::Module& module) {
  io::TensorMap tensors;
  for (const auto& item : module.named_parameters()) tensors[item.key()] = item.value().detach();
  return tensors;
}

inline std::filesystem::path write_tensors(const std::string& name, const io::TensorMap& tensors) {
  const auto path = scratch_file(name);
  io::write_safetensors(path, io::NamedTensors(tensors.begin(), tensors.end()));
  return path;
}

inline int64_t parameter_count(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

inline Tensor random_images(int64_t side) {
  return at::randint(0, 256, {2, 3, side, side}, at::kByte);
}

/// `tensors` with every name after `rename`; q, k and v of names that hold `joined` become three
/// tensors, in which `parts` take its place.
inline io::TensorMap split_qkv(const io::TensorMap& tensors, const std::string& joined,
                               const std::array<std::string, 3>& parts,
                               const std::function<std::string(const std::string&)>& rename) {
  io::TensorMap result;
  for (const auto& [name, tensor] : tensors) {
    const size_t at = name.find(joined);
    if (at == std::string::npos) {
      result[rename(name)] = tensor;
      continue;
    }
    const auto rows = tensor.chunk(3, 0);
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string part = parts[i] + name.substr(at + joined.size());
      result[rename(name.substr(0, at)) + part] = rows[i];
    }
  }
  return result;
}

/// Replaces the first occurrence of each entry's first text by its second.
inline std::string replaced(std::string name,
                            const std::vector<std::pair<std::string, std::string>>& entries) {
  for (const auto& [from, to] : entries) {
    const size_t at = name.find(from);
    if (at != std::string::npos) name.replace(at, from.size(), to);
  }
  return name;
}

/// The same names with the same values on both sides.
inline void expect_same_tensors(const io::TensorMap& found, const io::TensorMap& expected) {
  EXPECT_EQ(found.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_TRUE(found.at(name).equal(tensor)) << name;
  }
}

/// Model is built from Config; its names of blocks begin with `block` and a number. Three facts:
/// layer `depth` is the full run without the final output, layer -1 is that output, and layer 1
/// uses nothing behind the first block.
template <class Model, class Config>
void expect_early_stop(Config config, const std::string& block, const Tensor& images) {
  const at::NoGradGuard no_grad;
  const auto encode = [&](int64_t layer, const std::function<void(Model&)>& change) {
    config.layer = layer;
    torch::manual_seed(11);
    Model model(config);
    model.initialize_randomly();
    change(model);
    return model.encode(images);
  };
  const auto keep = [](Model&) {};
  Tensor last, output;
  encode(-1, [&](Model& model) {
    const auto tokens = model.hidden(model.preprocess(images), config.depth);
    last = model.patch_tokens(tokens);
    output = model.patch_tokens(model.final_tokens(tokens));
  });
  EXPECT_TRUE(encode(config.depth, keep).equal(last));
  EXPECT_TRUE(encode(-1, keep).equal(output));
  const auto spoil = [&](Model& model) {
    for (const auto& [name, parameter] : parameters_by_name(model)) {
      const bool later = name.starts_with(block) && !name.starts_with(block + "0.");
      if (later || name.find("post") != std::string::npos || name.starts_with("norm")) {
        parameter.fill_(std::numeric_limits<float>::quiet_NaN());
      }
    }
  };
  EXPECT_TRUE(encode(1, spoil).equal(encode(1, keep)));
}

}  // namespace gear::models::testing
