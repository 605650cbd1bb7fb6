#include "gear/train/network_parts.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gear/io/safetensors.h"
#include "gear/io/torch_writer.h"
#include "project_folders.h"
#include "tiny_run.h"

namespace gear::train {
namespace {

using io::TorchValue;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> groups_of(const NetworkParts& parts) {
  std::vector<std::string> groups;
  for (const auto& [group, tensors] : parts.networks) groups.push_back(group);
  return groups;
}

TorchValue::Dict map_of(const std::vector<std::string>& names) {
  TorchValue::Dict dict;
  for (const std::string& name : names) dict.set(name, at::rand({2}));
  return dict;
}

const std::vector<std::string> kTokenizer = {"decoder.conv_in.weight", "encoder.conv_in.weight"};
const std::vector<std::string> kTransformer = {"norm.weight", "tok_embeddings.weight"};

class NetworkPartsTest : public ::testing::Test {
 protected:
  NetworkParts read(const std::vector<std::pair<std::string, TorchValue>>& entries) {
    TorchValue::Dict root;
    for (const auto& [key, value] : entries) root.set(key, value);
    io::write_torch(path(), root);
    return read_network_parts(path());
  }
  std::filesystem::path path() const { return folder_.path() / "x.pt"; }

  testing::TemporaryFolder folder_;
};

TEST_F(NetworkPartsTest, TrainingFileOfTheReferenceHoldsEachNetworkUnderItsKey) {
  const std::string golden = std::string(GEAR_SOURCE_DIR) + "/tests/golden/checkpoints/good/";
  const auto parts = read_network_parts(golden + "stage0.pt");
  EXPECT_THAT(groups_of(parts), ElementsAre("discriminator", "tokenizer", "tokenizer_ema"));
  EXPECT_EQ(parts.networks.at("tokenizer").size(), 85U);
  ASSERT_NE(parts.archive, nullptr);
  EXPECT_EQ(parts.archive->root().find("steps")->integer, 400);
}

TEST_F(NetworkPartsTest, StageOneHoldsAllOfThem) {
  const auto parts = read({{"ar", map_of(kTransformer)},
                           {"ema", map_of(kTransformer)},
                           {"projectors", map_of({"projs.0.0.weight"})},
                           {"vq", map_of(kTokenizer)},
                           {"vq_ema", map_of(kTokenizer)},
                           {"discriminator", map_of({"main.0.weight"})},
                           {"args", map_of({})},
                           {"steps", 3}});
  EXPECT_THAT(groups_of(parts), ElementsAre("ar", "ar_ema", "discriminator", "projector",
                                            "tokenizer", "tokenizer_ema"));
}

TEST_F(NetworkPartsTest, ReleasesUnderModelAndEmaAreToldByTheirTensors) {
  EXPECT_THAT(groups_of(read({{"model", map_of(kTokenizer)}, {"ema", map_of(kTokenizer)}})),
              ElementsAre("tokenizer", "tokenizer_ema"));
  EXPECT_THAT(groups_of(read({{"model", map_of(kTransformer)}})), ElementsAre("ar"));
}

TEST_F(NetworkPartsTest, BareMapsAndWrappersAreUnderstood) {
  std::vector<std::pair<std::string, TorchValue>> entries;
  for (const std::string& name : kTransformer) {
    entries.emplace_back("_orig_mod." + name, at::rand({2}));
  }
  const auto parts = read(entries);
  EXPECT_THAT(groups_of(parts), ElementsAre("ar"));
  EXPECT_TRUE(parts.networks.at("ar").contains("norm.weight"));
}

TEST_F(NetworkPartsTest, LightningGivesItsAverageAsTheTokenizer) {
  TorchValue::Dict state = map_of(kTokenizer);
  const auto shadow = at::rand({2});
  state.set("model_ema.encoderconv_inweight", shadow);
  state.set("loss.discriminator.main.0.weight", at::rand({2}));
  const auto parts = read({{"state_dict", state}, {"epoch", 4}});
  EXPECT_THAT(groups_of(parts), ElementsAre("tokenizer"));
  EXPECT_TRUE(at::equal(parts.networks.at("tokenizer").at("encoder.conv_in.weight"), shadow));
  EXPECT_EQ(parts.networks.at("tokenizer").size(), 2U);
}

TEST_F(NetworkPartsTest, SafetensorsAreTakenToo) {
  const auto file = folder_.path() / "x.safetensors";
  io::write_safetensors(file, {{"main.0.weight", at::rand({2})}});
  const auto parts = read_network_parts(file);
  EXPECT_THAT(groups_of(parts), ElementsAre("discriminator"));
  EXPECT_EQ(parts.archive, nullptr);
}

TEST_F(NetworkPartsTest, UnknownTensorsKeepNoName) {
  EXPECT_THAT(groups_of(read({{"x", at::rand({2})}})), ElementsAre(""));
}

TEST_F(NetworkPartsTest, TwoTokenizersInOneFileAreRefused) {
  try {
    read({{"model", map_of(kTokenizer)}, {"vq", map_of(kTokenizer)}});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("holds two networks that are a tokenizer, model and vq"));
  }
}

}  // namespace
}  // namespace gear::train
