#include "gear/io/weight_parts.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/io/safetensors.h"
#include "io/pickle_builder.h"
#include "io/temporary_folder.h"

namespace gear::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using namespace pickled;

/// A tensor that holds the one value `value` (of 0 to 9).
std::string number(int32_t value) { return tensor(storage("0", 10), {1}, {1}, value); }

WeightFile open(const std::string& body) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.pt", torch_zip(body));
  return open_weight_file(folder / "x.pt");
}

std::vector<std::string> part_names(const WeightFile& file) {
  std::vector<std::string> names;
  for (const WeightPart& part : file.parts) names.push_back(part.name);
  return names;
}

std::vector<std::string> names_of(const WeightPart& part) {
  std::vector<std::string> names;
  for (const StoredTensor& tensor : part.tensors) names.push_back(tensor.name);
  return names;
}

TEST(WeightParts, OfATrainingFileAreItsTopLevelKeys) {
  const WeightFile file = open(dict({{"vq", dict({{"a.w", number(1)}})},
                                     {"opt_vq", dict({{"state", dict({{"0", number(2)}})}})},
                                     {"steps", integer(500)},
                                     {"lone", number(3)}}));
  EXPECT_EQ(file.format, "torch.save");
  EXPECT_THAT(part_names(file), ElementsAre("vq", "opt_vq", ""));
  EXPECT_THAT(names_of(file.parts[1]), ElementsAre("state/0"));
  EXPECT_EQ(file.parts[0].tensors[0].values().item<float>(), 1.0F);
  EXPECT_EQ(file.parts[0].tensors[0].shape, std::vector<int64_t>{1});
  ASSERT_NE(file.fact("steps"), nullptr);
  EXPECT_EQ(*file.fact("steps"), "500");
  EXPECT_EQ(*file.fact("byte order"), "little");
  EXPECT_EQ(*file.fact("format version"), "3");
  EXPECT_EQ(file.fact("vq"), nullptr);
}

TEST(WeightParts, SettingsAreTheEntriesOfADictionaryOrOfANamespace) {
  const std::string object = global("argparse", "Namespace") + ")\x81" +
                             dict({{"lr", "G" + std::string("\x3f\xf0\0\0\0\0\0\0", 8)},
                                   {"model", text("VQ-16")},
                                   {"betas", "]"}}) +
                             "b";
  const WeightFile file =
      open(dict({{"args", object}, {"hyper_parameters", dict({{"ema", "\x88"}})}}));
  ASSERT_EQ(file.settings.size(), 2u);
  EXPECT_EQ(file.settings[0].first, "args");
  EXPECT_THAT(file.settings[0].second,
              ElementsAre(Pair("lr", "1"), Pair("model", "VQ-16"), Pair("betas", "a list")));
  EXPECT_THAT(file.settings[1].second, ElementsAre(Pair("ema", "true")));
}

TEST(WeightParts, OfLightningAreLiveWeightsShadowsAndLoss) {
  const WeightFile file =
      open(dict({{"state_dict", dict({{"encoder.conv.weight", number(1)},
                                      {"loss.disc.weight", number(3)},
                                      {"model_ema.encoderconvweight", number(4)},
                                      {"model_ema.decay", number(5)}})}}));
  EXPECT_THAT(part_names(file),
              ElementsAre("state_dict", "state_dict/model_ema", "state_dict/loss"));
  EXPECT_THAT(names_of(file.parts[0]), ElementsAre("encoder.conv.weight"));
  EXPECT_THAT(names_of(file.parts[1]), ElementsAre("encoder.conv.weight", "decay"));
  EXPECT_THAT(names_of(file.parts[2]), ElementsAre("disc.weight"));
  EXPECT_EQ(file.parts[1].tensors[0].values().item<float>(), 4.0F);
}

TEST(WeightParts, OfAFolderAreThoseOfItsFileWithItsConfig) {
  const TemporaryFolder folder;
  write_safetensors(folder / "model-1.safetensors", {{"a", at::ones({1})}});
  write_bytes(folder / "model-2.bin", torch_zip(dict({{"b", number(7)}})));
  write_bytes(folder / "model.safetensors.index.json",
              R"({"weight_map":{"a":"model-1.safetensors","b":"model-2.bin"}})");
  write_bytes(folder / "config.json",
              R"({"model_type":"dinov2","architectures":["Dinov2Model"],"hidden_size":768})");
  const WeightFile file = open_weight_file(folder.path());
  EXPECT_EQ(file.format, "sharded weights");
  EXPECT_THAT(part_names(file), ElementsAre(""));
  EXPECT_THAT(names_of(file.parts[0]), ElementsAre("a", "b"));
  EXPECT_EQ(file.parts[0].tensors[1].values().item<float>(), 7.0F);
  EXPECT_THAT(file.files, ElementsAre(folder / "model.safetensors.index.json",
                                      folder / "model-1.safetensors", folder / "model-2.bin"));
  EXPECT_EQ(*file.fact("config.json model_type"), "dinov2");
  EXPECT_EQ(*file.fact("config.json architectures"), "Dinov2Model");
}

TEST(WeightParts, OfAFolderOfFoldersAreNamedAfterThem) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b", "empty"}) std::filesystem::create_directories(folder / name);
  write_safetensors(folder / "b" / "model.safetensors", {{"w", at::ones({2})}}, {{"step", "4"}});
  write_bytes(folder / "a" / "x.pt", torch_zip(dict({{"ema", dict({{"w", number(3)}})}})));
  const WeightFile file = open_weight_file(folder.path());
  EXPECT_EQ(file.format, "folders of weights");
  EXPECT_THAT(part_names(file), ElementsAre("a/ema", "b"));
  EXPECT_EQ(file.parts[0].tensors.at(0).values().item<float>(), 3.0F);
  EXPECT_EQ(file.parts[1].tensors.at(0).name, "w");
  EXPECT_EQ(*file.fact("b: metadata step"), "4");
  EXPECT_THAT(file.files, ElementsAre(folder / "a" / "x.pt", folder / "b" / "model.safetensors"));
}

TEST(WeightParts, MetadataOfSafetensorsAreFacts) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {{"w", at::zeros({2, 3}, at::kHalf)}},
                    {{"format", "pt"}});
  const WeightFile file = open_weight_file(folder / "a.safetensors");
  EXPECT_EQ(*file.fact("metadata format"), "pt");
  EXPECT_EQ(file.parts.at(0).tensors.at(0).dtype, at::kHalf);
  EXPECT_EQ(file.parts.at(0).tensors.at(0).bytes(), 12);
}

TEST(WeightParts, WithoutValuesChecksumsOfStoragesAreNotCompared) {
  std::string bytes = torch_zip(dict({{"w", tensor(storage("0", 10), {10}, {1})}}));
  bytes[bytes.find("archive/data/0") + 14 + 5] ^= 1;
  const TemporaryFolder folder;
  write_bytes(folder / "x.pt", bytes);
  EXPECT_THAT(error_of([&] { open_weight_file(folder / "x.pt"); }),
              HasSubstr("record archive/data/0 is damaged (its checksum differs)"));
  EXPECT_EQ(open_weight_file(folder / "x.pt", {.check_values = false}).parts.size(), 1u);
}

TEST(WeightParts, AShardThatIsNotThereIsNamed) {
  const TemporaryFolder folder;
  write_bytes(folder / "m.index.json", R"({"weight_map":{"a":"model-1.safetensors"}})");
  EXPECT_EQ(error_of([&] { open_weight_file(folder / "m.index.json"); }),
            (folder / "m.index.json").string() +
                ": a is in model-1.safetensors, which is not there; fetch every file that the "
                "index names");
}

TEST(WeightParts, PlainNamesHaveNoWrappers) {
  EXPECT_EQ(plain_weight_name("module._orig_mod.a"), "a");
  EXPECT_EQ(plain_weight_name("layers.0._orig_mod.c"), "layers.0.c");
  EXPECT_EQ(plain_weight_name("submodule.d"), "submodule.d");
}

}  // namespace
}  // namespace gear::io
