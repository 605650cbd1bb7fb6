#include "gear/io/weights.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/io/safetensors.h"
#include "io/pickle_builder.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace pickled;

/// A tensor that holds the one value `value` (of 0 to 9).
std::string number(int32_t value) { return tensor(storage("0", 10), {1}, {1}, value); }

std::vector<std::string> names_of(const TensorMap& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

float value_of(const TensorMap& tensors, const std::string& name) {
  return tensors.at(name).item<float>();
}

std::string refusal(const std::string& name, const std::string& bytes) {
  const TemporaryFolder folder;
  write_bytes(folder / name, bytes);
  return error_of([&] { load_tensors(folder / name); });
}

TensorMap load(const std::string& body, const LoadOptions& options) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.pt", torch_zip(body));
  return load_tensors(folder / "x.pt", options);
}

TEST(LoadTensors, HeaderOfAnyLengthIsSafetensors) {
  // The file begins with the length of its header: 0x80 there once looked like a pickle.
  const TemporaryFolder folder;
  for (size_t padding = 0; padding < 256; padding += 8) {
    write_safetensors(folder / "a.safetensors", {{"w", at::ones({2})}},
                      {{"padding", std::string(padding, 'x')}});
    EXPECT_EQ(load_tensors(folder / "a.safetensors").at("w").sum().item<float>(), 2.0F) << padding;
  }
}

TEST(LoadTensors, ContentDecidesNotTheExtension) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.pt", {{"w", at::ones({2})}});
  write_bytes(folder / "b.safetensors", torch_zip(dict({{"w", number(3)}})));
  write_bytes(folder / "c.bin", torch_legacy(dict({{"w", number(4)}})));
  EXPECT_EQ(load_tensors(folder / "a.pt").at("w").sum().item<float>(), 2.0F);
  EXPECT_EQ(value_of(load_tensors(folder / "b.safetensors"), "w"), 3.0F);
  EXPECT_EQ(value_of(load_tensors(folder / "c.bin"), "w"), 4.0F);
}

TEST(LoadTensors, TokenizerComesFromTheEmaWhenItIsWanted) {
  const std::string body = dict({{"vq", dict({{"w", number(1)}})},
                                 {"vq_ema", dict({{"w", number(2)}})},
                                 {"steps", integer(5)}});
  EXPECT_EQ(value_of(load(body, tokenizer_sections(true)), "w"), 2.0F);
  EXPECT_EQ(value_of(load(body, tokenizer_sections(false)), "w"), 1.0F);
  EXPECT_EQ(value_of(load(dict({{"model", dict({{"w", number(3)}})}}), tokenizer_sections()), "w"),
            3.0F);
  EXPECT_EQ(value_of(load(dict({{"w", number(4)}}), tokenizer_sections()), "w"), 4.0F);
}

TEST(LoadTensors, TransformerComesFromEmaThenLiveThenModel) {
  const std::string body =
      dict({{"ar", dict({{"w", number(1)}})}, {"ema", dict({{"w", number(2)}})}});
  EXPECT_EQ(value_of(load(body, ar_sections()), "w"), 2.0F);
  EXPECT_EQ(value_of(load(body, ar_sections(false)), "w"), 1.0F);
}

TEST(LoadTensors, TransformerComesFromTheKeysOfOtherReleasesToo) {
  for (const std::string key : {"model", "module", "state_dict"}) {
    const std::string body = dict({{key, dict({{"w", number(3)}})}});
    EXPECT_EQ(value_of(load(body, ar_sections()), "w"), 3.0F) << key;
    EXPECT_EQ(value_of(load(body, ar_sections(false)), "w"), 3.0F) << key;
  }
}

TEST(LoadTensors, LightningShadowsReplaceLiveWeights) {
  const auto tensors = load(dict({{"state_dict", dict({{"encoder.conv.weight", number(1)},
                                                       {"encoder.table", number(2)},
                                                       {"loss.disc.weight", number(3)},
                                                       {"model_ema.encoderconvweight", number(4)},
                                                       {"model_ema.decay", number(5)},
                                                       {"model_ema.lossdiscweight", number(6)}})}}),
                            tokenizer_sections(false));
  EXPECT_THAT(names_of(tensors), ElementsAre("encoder.conv.weight", "encoder.table"));
  EXPECT_EQ(value_of(tensors, "encoder.conv.weight"), 4.0F);
  EXPECT_EQ(value_of(tensors, "encoder.table"), 2.0F);
}

TEST(LoadTensors, AShadowThatTwoNamesShareIsAnError) {
  EXPECT_THAT(error_of([] {
                load(dict({{"state_dict", dict({{"a.bc", number(1)},
                                                {"ab.c", number(2)},
                                                {"model_ema.abc", number(3)}})}}),
                     {});
              }),
              HasSubstr("share the EMA shadow model_ema.abc"));
}

TEST(LoadTensors, WrapperPrefixesAreRemovedPerName) {
  const auto tensors = load(dict({{"module._orig_mod.a", number(1)},
                                  {"_orig_mod.module.b", number(2)},
                                  {"layers.0._orig_mod.c", number(3)},
                                  {"submodule.d", number(4)}}),
                            {});
  EXPECT_THAT(names_of(tensors), ElementsAre("a", "b", "layers.0.c", "submodule.d"));
  EXPECT_THAT(error_of([] {
                load(dict({{"module.a", number(1)}, {"a", number(2)}}), {});
              }),
              HasSubstr("are both a without the prefixes"));
}

TEST(LoadTensors, AMissingSectionListsWhatIsThere) {
  EXPECT_THAT(error_of([] {
                load(dict({{"vq", dict({{"w", number(1)}})}, {"steps", integer(3)}}),
                     section("discriminator"));
              }),
              HasSubstr("holds none of discriminator; found the keys vq, steps"));
}

TEST(LoadTensors, ShardsAreReadThroughTheirIndexOrTheirFolder) {
  const TemporaryFolder folder;
  write_safetensors(folder / "model-1.safetensors", {{"a", at::ones({1})}});
  write_safetensors(folder / "model-2.safetensors", {{"b", at::zeros({1})}});
  write_bytes(folder / "model.safetensors.index.json",
              R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})");
  EXPECT_THAT(names_of(load_tensors(folder.path())), ElementsAre("a", "b"));
  EXPECT_THAT(names_of(load_tensors(folder / "model.safetensors.index.json")),
              ElementsAre("a", "b"));
}

TEST(LoadTensors, AnIndexCannotLeaveItsFolderOrLie) {
  const TemporaryFolder folder;
  const auto index = folder / "m.index.json";
  write_safetensors(folder / "s.safetensors", {{"a", at::ones({1})}});
  write_bytes(index, R"({"weight_map":{"a":"../s.safetensors"}})");
  EXPECT_THAT(error_of([&] { load_tensors(index); }), HasSubstr("the name of a file beside it"));
  write_bytes(index, R"({"weight_map":{"b":"s.safetensors"}})");
  EXPECT_THAT(error_of([&] { load_tensors(index); }), HasSubstr("b is not in s.safetensors"));
  write_bytes(index, R"({"weight_map":{"b":"m.index.json"}})");
  EXPECT_THAT(error_of([&] { load_tensors(index); }), HasSubstr("must not name another index"));
  write_bytes(folder / "other.bin", R"({"weight_map":{"b":"other.bin"}})");
  write_bytes(index, R"({"weight_map":{"b":"other.bin"}})");
  EXPECT_THAT(error_of([&] { load_tensors(index); }), HasSubstr("must not name another index"));
  const std::string nested = std::string(200'000, '[') + std::string(200'000, ']');
  write_bytes(index, R"({"weight_map":{"b":)" + nested + "}}");
  EXPECT_THAT(error_of([&] { load_tensors(index); }), HasSubstr("found array"));
  write_bytes(index, R"({"dim": 12})");
  EXPECT_THAT(error_of([&] { load_tensors(index); }), HasSubstr("JSON without a weight_map"));
}

TEST(LoadTensors, FilesThatAreNoWeightsAreNamedForWhatTheyAre) {
  EXPECT_THAT(refusal("a.pt", ""), HasSubstr("a.pt: is empty"));
  EXPECT_THAT(refusal("a.pt", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
              HasSubstr("is a Git LFS pointer, not the weights; fetch the real file"));
  EXPECT_THAT(refusal("a.pt", "\n<!DOCTYPE html><html>"), HasSubstr("is a web page"));
  EXPECT_THAT(refusal("a.pt", "\x1f\x8b\x08"), HasSubstr("compressed with gzip"));
  EXPECT_THAT(refusal("a.pt", std::string(257, 'x') + "ustar" + std::string(300, 'x')),
              HasSubstr("is a tar archive"));
  EXPECT_THAT(refusal("a.pt", "hello"), HasSubstr("it has 5 bytes and begins with 68 65 6c 6c"));
  EXPECT_THAT(refusal("a.pt", torch_zip(number(1))), HasSubstr("holds a tensor, expected a dict"));
}

TEST(LoadTensors, AFolderWithoutOneClearFileIsAnError) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { load_tensors(folder.path()); }), HasSubstr("without a weight file"));
  write_safetensors(folder / "a.safetensors", {{"a", at::ones({1})}});
  EXPECT_THAT(names_of(load_tensors(folder.path())), ElementsAre("a"));
  write_safetensors(folder / "b.safetensors", {{"b", at::ones({1})}});
  EXPECT_THAT(error_of([&] { load_tensors(folder.path()); }),
              HasSubstr("name one of a.safetensors, b.safetensors"));
}

struct Network : torch::nn::Module {
  Network()
      : weight(register_parameter("weight", at::zeros({2, 3}))),
        bias(register_parameter("bias", at::zeros({2}))),
        steps(register_buffer("steps", at::zeros({}, at::kLong))) {}
  at::Tensor weight, bias, steps;
};

TEST(AssignWeights, ConvertsToTheModulesDtypeAndReportsTheRest) {
  Network network;
  const auto report = assign_weights(network,
                                     {{"weight", at::ones({2, 3}, at::kBFloat16)},
                                      {"bias", at::ones({2}, at::kHalf)},
                                      {"extra", at::ones({1})}},
                                     "x.pt");
  EXPECT_TRUE(at::equal(network.weight, at::ones({2, 3})));
  EXPECT_EQ(network.weight.scalar_type(), at::kFloat);
  EXPECT_TRUE(network.weight.requires_grad());
  EXPECT_THAT(report.unused, ElementsAre("extra"));
  EXPECT_THAT(report.kept, ElementsAre("steps"));
}

TEST(AssignWeights, AMissingParameterIsAnErrorAndNothingIsCopied) {
  Network network;
  EXPECT_THAT(error_of([&] {
                assign_weights(network, {{"weight", at::ones({2, 3})}}, "x.pt");
              }),
              HasSubstr("x.pt: lacks 1 of the model's parameters (bias)"));
  EXPECT_EQ(network.weight.sum().item<float>(), 0.0F);
  const auto report =
      assign_weights(network, {{"weight", at::ones({2, 3})}}, "x.pt", {.may_be_missing = {"bias"}});
  EXPECT_THAT(report.kept, ElementsAre("bias", "steps"));
}

TEST(AssignWeights, AnotherShapeNamesTensorFoundAndExpected) {
  Network network;
  EXPECT_EQ(
      error_of([&] {
        assign_weights(network, {{"weight", at::ones({3, 2})}, {"bias", at::ones({2})}}, "x.pt");
      }),
      "x.pt: weight: expected [2, 3], got [3, 2]");
}

TEST(AssignWeights, APrefixChoosesAPartOfTheFile) {
  Network network;
  const auto report = assign_weights(network,
                                     {{"vision.weight", at::ones({2, 3})},
                                      {"vision.bias", at::ones({2})},
                                      {"vision.steps", at::ones({1}, at::kLong)},
                                      {"text.bias", at::ones({9})}},
                                     "x.pt", {.prefix = "vision."});
  EXPECT_EQ(network.steps.item<int64_t>(), 1);
  EXPECT_THAT(report.unused, ElementsAre("text.bias"));
}

TEST(AssignWeights, WhatHasNoPlaceIsToldInTheLog) {
  Network network;
  ::testing::internal::CaptureStderr();
  assign_weights(network,
                 {{"v.weight", at::ones({2, 3})},
                  {"v.bias", at::ones({2})},
                  {"v.head", at::ones({1})},
                  {"text.bias", at::ones({9})}},
                 "x.pt", {.prefix = "v."});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "x.pt: left out 1 tensor that the model has no place for (v.head)\n");
}

TEST(AssignWeights, HalfPrecisionValuesAreThoseThatConversionGives) {
  for (const auto dtype : {at::kHalf, at::kBFloat16}) {
    Network network;
    const auto weight = at::rand({2, 3}).to(dtype);
    const auto bias = at::full({2}, 1e-7, at::kFloat).to(dtype);  // subnormal as a half
    assign_weights(network, {{"weight", weight}, {"bias", bias}}, "x.pt");
    EXPECT_TRUE(at::equal(network.weight, weight.to(at::kFloat)));
    EXPECT_TRUE(at::equal(network.bias, bias.to(at::kFloat)));
    EXPECT_EQ(network.weight.scalar_type(), at::kFloat);
  }
}

TEST(AssignWeights, FloatingPointForAnIntegerBufferIsAnError) {
  Network network;
  EXPECT_THAT(
      error_of([&] {
        assign_weights(
            network,
            {{"weight", at::ones({2, 3})}, {"bias", at::ones({2})}, {"steps", at::ones({})}},
            "x.pt");
      }),
      HasSubstr("steps: expected Long, got Float"));
}

TEST(AssignWeights, AComplexValueForARealOneIsAnError) {
  Network network;
  const auto weight = at::ones({2, 3}, at::kComplexFloat);
  EXPECT_EQ(error_of([&] {
              assign_weights(network, {{"weight", weight}, {"bias", at::ones({2})}}, "x.pt");
            }),
            "x.pt: weight: expected Float, got ComplexFloat");
}

}  // namespace
}  // namespace gear::io
