#include "gear/models/ar/image_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/error_message.h"
#include "models/text_network.h"

namespace gear::models {
namespace {

ArConfig class_config() {
  auto config = text_config(TextAttention::kCausal);
  config.text.reset();
  return config;
}

io::TensorMap weights_of(ArModel model) {
  io::TensorMap tensors;
  for (const auto& item : model->named_parameters()) {
    tensors[item.key()] = item.value().detach().clone();
  }
  return tensors;
}

TEST(ImageStream, ClassConditionalWeightsFillItAndStartTheTextStream) {
  const auto source = weights_of(text_network(class_config()));
  ArModel model(text_config(TextAttention::kCausal));
  const auto before = weights_of(model);
  load_image_stream(model, source, "c2i.pt");
  for (const auto& [name, value] : weights_of(model)) {
    const auto text = name.find("_text");
    if (name.starts_with("cls_embedding.cap_proj.")) {
      EXPECT_TRUE(value.equal(before.at(name))) << name;
    } else if (text != std::string::npos) {
      EXPECT_TRUE(value.equal(source.at(std::string(name).erase(text, 5)))) << name;
    } else {
      EXPECT_TRUE(value.equal(source.at(name))) << name;
    }
  }
}

TEST(ImageStream, TextStreamKeepsItsValuesWithoutTheCopy) {
  const auto source = weights_of(text_network(class_config()));
  ArModel model(text_config(TextAttention::kCausal));
  const auto before = weights_of(model);
  load_image_stream(model, source, "c2i.pt", TextStreamStart::kAsItIs);
  int64_t of_text = 0;
  for (const auto& [name, value] : weights_of(model)) {
    if (name.find("_text") == std::string::npos) continue;
    EXPECT_TRUE(value.equal(before.at(name))) << name;
    ++of_text;
  }
  EXPECT_EQ(of_text, 6);  // two double-stream blocks
}

TEST(ImageStream, WeightsThatDoNotFitAreRefused) {
  const auto class_weights = weights_of(text_network(class_config()));
  ArModel model(text_config(TextAttention::kCausal));
  EXPECT_EQ(message_of([&] { load_image_stream(model, weights_of(model), "t2i.pt"); }),
            "t2i.pt: has no cls_embedding.embedding_table.weight, so it is not of a "
            "class-conditional transformer; weights of a text-conditional one are loaded as a "
            "whole");

  auto deeper = class_weights;
  deeper["layers.3.ffn_norm.weight"] = at::ones({48});
  EXPECT_THAT(message_of([&] { load_image_stream(model, deeper, "c2i.pt"); }),
              testing::HasSubstr("c2i.pt: has tensors that this transformer has no place for "
                                 "(cls_embedding.embedding_table.weight, "
                                 "layers.3.ffn_norm.weight)"));

  auto incomplete = class_weights;
  incomplete.erase("layers.0.attention.wqkv.weight");
  EXPECT_THAT(message_of([&] { load_image_stream(model, incomplete, "c2i.pt"); }),
              testing::HasSubstr("c2i.pt: lacks 1 of the model's parameters "
                                 "(layers.0.attention.wqkv.weight)"));
}

}  // namespace
}  // namespace gear::models
