#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/module.h>

#include "gear/io/weights.h"
#include "io/pickle_builder.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::HasSubstr;
using namespace pickled;

/// An instance of a TorchScript class with these attributes.
std::string object(const std::string& attributes) {
  return global("__torch__.models", "Block") + ")\x81" + attributes + "b";
}

TEST(ScriptModule, TensorsHaveTheNamesOfTheirAttributes) {
  torch::jit::Module inner("Inner"), outer("Outer");
  inner.register_parameter("weight", at::arange(6).view({2, 3}).to(at::kHalf), false);
  inner.register_buffer("mask", at::arange(2));
  outer.register_module("layer", inner);
  outer.register_parameter("scale", at::arange(1).to(at::kFloat), false);
  outer.register_attribute("size", c10::IntType::get(), int64_t{7});
  const TemporaryFolder folder;
  outer.save((folder / "x.pt").string());

  const auto tensors = load_tensors(folder / "x.pt");
  EXPECT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors.at("layer.weight").scalar_type(), at::kHalf);
  EXPECT_TRUE(at::equal(tensors.at("layer.weight").to(at::kLong), at::arange(6).view({2, 3})));
  EXPECT_TRUE(at::equal(tensors.at("layer.mask"), at::arange(2)));
  EXPECT_TRUE(tensors.contains("scale"));
}

TEST(ScriptModule, ThatHoldsItselfIsRefused) {
  const TemporaryFolder folder;
  // The object is stored in the memo before its attributes, one of which is itself.
  const std::string body = global("__torch__.models", "Block") + ")\x81" + std::string("q\x00", 2) +
                           dict({{"self", std::string("h\x00", 2)}}) + "b";
  write_bytes(folder / "x.pt", torch_zip(body));
  EXPECT_THAT(error_of([&] { load_tensors(folder / "x.pt"); }),
              HasSubstr("x.pt: the values are nested deeper, shared more often"));
}

TEST(ScriptModule, AttributesWithoutTensorsAreNoWeights) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.pt",
              torch_zip(object(dict({{"w", tensor(storage("0", 10), {2}, {1})},
                                     {"training", "\x88"},
                                     {"inner", object(dict({{"n", integer(3)}}))}}))));
  const auto tensors = load_tensors(folder / "x.pt");
  ASSERT_EQ(tensors.size(), 1U);
  EXPECT_EQ(tensors.at("w").sizes(), at::IntArrayRef({2}));
}

}  // namespace
}  // namespace gear::io
