// Networks and their blocks say when they are built, so that they can be divided as they grow.

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/projector.h"
#include "gear/models/critics/patch_gan.h"
#include "gear/nn/gate.h"
#include "models/families.h"
#include "models/text_network.h"

namespace gear::models {
namespace {

using Network = std::shared_ptr<nn::KeptModule>;

/// Every module that a keeper could have, and the network last, is reported once, complete.
void expect_all_reported(const std::string& name, const std::function<Network()>& make) {
  std::vector<const torch::nn::Module*> built;
  std::map<const torch::nn::Module*, size_t> parameters;
  Network network;
  {
    const nn::BuildScope scope([&](nn::KeptModule& module) {
      built.push_back(&module);
      parameters[&module] = module.parameters().size();
    });
    network = make();
  }
  std::set<const torch::nn::Module*> expected;
  for (const auto& module : network->modules()) {
    if (dynamic_cast<nn::KeptModule*>(module.get()) == nullptr) continue;
    expected.insert(module.get());
    EXPECT_EQ(parameters[module.get()], module->parameters().size()) << name;
  }
  EXPECT_EQ(std::set<const torch::nn::Module*>(built.begin(), built.end()), expected) << name;
  EXPECT_EQ(built.size(), expected.size()) << name;
  EXPECT_EQ(built.back(), network.get()) << name;
}

TEST(KeptModules, AllSayThatTheyAreBuilt) {
  for (const Family& family : families()) {
    expect_all_reported(family.name, [&] { return make_tokenizer(family.config); });
  }
  expect_all_reported("text", [] { return ArModel(text_config(TextAttention::kCausal)).ptr(); });
  expect_all_reported("PatchGan", [] { return PatchGan(PatchGanConfig{}).ptr(); });
  expect_all_reported("Projector", [] { return Projector(8, 8, std::vector<int64_t>{4}).ptr(); });
}

TEST(KeptModules, ABlockHasItsInitialValuesWhenItIsBuilt) {
  std::vector<Tensor> then;
  torch::manual_seed(3);
  ArModel model{nullptr};
  {
    const nn::BuildScope scope([&](nn::KeptModule& module) {
      for (const auto& parameter : module.parameters()) then.push_back(parameter.detach().clone());
    });
    model = ArModel(text_config(TextAttention::kCausal));
  }
  size_t i = 0;
  for (const auto& block : *model->layers) {
    for (const auto& parameter : block->parameters()) EXPECT_TRUE(parameter.equal(then[i++]));
  }
  const auto& wqkv = model->layers->ptr<ArBlockImpl>(0)->attention->wqkv->weight;
  EXPECT_NEAR(wqkv.std().item<double>(), model->config().init_std, 0.001);
}

}  // namespace
}  // namespace gear::models
