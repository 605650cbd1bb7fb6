// What gear inspect takes a weight file for, and the keys it gives for it.

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/tiny_setup.h"
#include "gear/io/safetensors.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "io/pickle_builder.h"
#include "project_folders.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using Shape = std::vector<int64_t>;

/// gear inspect --json of a safetensors file with zeros of these shapes.
Json inspected(const TinySetup& tiny, const std::map<std::string, Shape>& shapes) {
  io::NamedTensors tensors;
  for (const auto& [name, shape] : shapes) tensors.emplace_back(name, at::zeros(shape, at::kByte));
  const fs::path path = tiny.root() / "x.safetensors";
  io::write_safetensors(path, tensors);
  const Outcome outcome = tiny.gear({"inspect", path.string(), "--json"});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  return Json::parse(outcome.out);
}

/// What identifies an encoder: where its width, patches and last block stand.
std::map<std::string, Shape> hub_encoder(int64_t dim, int64_t depth, int64_t patch) {
  return {{"cls_token", {1, 1, dim}},
          {"patch_embed.proj.weight", {dim, 3, patch, patch}},
          {"blocks." + std::to_string(depth - 1) + ".norm1.weight", {dim}}};
}

std::map<std::string, Shape> with(std::map<std::string, Shape> shapes,
                                  const std::map<std::string, Shape>& more) {
  shapes.insert(more.begin(), more.end());
  return shapes;
}

struct Known {
  std::string kind;
  std::string model;  // teacher.model
  std::map<std::string, Shape> shapes;
};

std::vector<Known> known_encoders() {
  return {{"DINOv2 hub file ViT-B/14", "dinov2-vit-b",
           with(hub_encoder(768, 12, 14), {{"pos_embed", {1, 1370, 768}}})},
          {"DINOv2 hub file ViT-g/14", "dinov2-vit-g", hub_encoder(1536, 40, 14)},
          {"DINOv2 hub file ViT-S/14 with registers", "dinov2_reg-vit-s",
           with(hub_encoder(384, 12, 14), {{"register_tokens", {1, 4, 384}}})},
          {"DINOv3 file ViT-S/16", "dinov3-vit-s",
           with(hub_encoder(384, 12, 16), {{"storage_tokens", {1, 4, 384}}})},
          {"DINOv3 file ViT-S+/16", "dinov3-vit-splus",
           with(hub_encoder(384, 12, 16),
                {{"storage_tokens", {1, 4, 384}}, {"blocks.0.mlp.w1.weight", {1024, 384}}})},
          {"V-JEPA 2.1 file ViT-G/16",
           "jepa21-vit-G",
           {{"module.backbone.patch_embed_img.proj.weight", {1664, 3, 1, 16, 16}},
            {"module.backbone.img_mod_embed", {1, 1, 1664}},
            {"module.backbone.blocks.47.norm1.weight", {1664}}}},
          {"Hugging Face file in the style of facebook/dinov2-with-registers-large",
           "dinov2_reg-vit-l",
           {{"embeddings.cls_token", {1, 1, 1024}},
            {"embeddings.register_tokens", {1, 4, 1024}},
            {"embeddings.position_embeddings", {1, 1370, 1024}},
            {"embeddings.patch_embeddings.projection.weight", {1024, 3, 14, 14}},
            {"encoder.layer.23.norm1.weight", {1024}}}},
          {"Hugging Face file in the style of facebook/dinov3-vitb16-pretrain-lvd1689m",
           "dinov3-vit-b",
           {{"embeddings.cls_token", {1, 1, 768}},
            {"embeddings.register_tokens", {1, 4, 768}},
            {"embeddings.patch_embeddings.weight", {768, 3, 16, 16}},
            {"layer.0.attention.q_proj.weight", {768, 768}},
            {"layer.11.norm1.weight", {768}}}},
          {"Hugging Face file in the style of google/siglip2-so400m-patch16",
           "siglip2-vit-so400m",
           {{"vision_model.embeddings.position_embedding.weight", {1024, 1152}},
            {"vision_model.embeddings.patch_embedding.weight", {1152, 3, 16, 16}},
            {"vision_model.encoder.layers.26.layer_norm1.weight", {1152}},
            {"text_model.embeddings.position_embedding.weight", {64, 1152}}}},
          {"Hugging Face file in the style of openai/clip-vit-large-patch14",
           "clip-vit-L",
           {{"vision_model.embeddings.class_embedding", {1024}},
            {"vision_model.embeddings.position_embedding.weight", {257, 1024}},
            {"vision_model.embeddings.patch_embedding.weight", {1024, 3, 14, 14}},
            {"vision_model.encoder.layers.23.layer_norm1.weight", {1024}}}},
          {"CLIP file ViT-L/14",
           "clip-vit-L",
           {{"visual.class_embedding", {1024}},
            {"visual.positional_embedding", {257, 1024}},
            {"visual.conv1.weight", {1024, 3, 14, 14}},
            {"visual.transformer.resblocks.23.ln_1.weight", {1024}}}}};
}

TEST(InspectGuess, NamesEveryTeacherAndTheKeysThatLoadIt) {
  const TinySetup tiny;
  for (const Known& known : known_encoders()) {
    const Json json = inspected(tiny, known.shapes);
    EXPECT_EQ(json["kind"], known.kind);
    EXPECT_EQ(json["parts"][0]["config"]["teacher.model"], known.model) << known.kind;
    EXPECT_EQ(json["parts"][0]["path_key"], "teacher.weights");
  }
}

TEST(InspectGuess, TellsThePictureSizeOfSiglip) {
  const TinySetup tiny;
  const auto json = inspected(tiny, {{"embeddings.position_embedding.weight", {1024, 768}},
                                     {"embeddings.patch_embedding.weight", {768, 3, 16, 16}},
                                     {"encoder.layers.11.layer_norm1.weight", {768}}});
  EXPECT_EQ(json["parts"][0]["config"]["data.image_size"], "512");
}

TEST(InspectGuess, AnEncoderOfNoPublishedSizeHasNoKeys) {
  const TinySetup tiny;
  const auto json = inspected(tiny, hub_encoder(64, 3, 14));
  EXPECT_EQ(json["parts"][0]["network"],
            "DINOv2 vision transformer: dim 64, depth 3, patches of 14 pixels");
  EXPECT_EQ(json["parts"][0]["path_key"], "");
}

TEST(InspectGuess, NamesTheSizesOfTheTransformer) {
  const TinySetup tiny;
  const auto b = inspected(tiny, {{"tok_embeddings.weight", {64, 768}},
                                  {"layers.11.attention_norm.weight", {768}},
                                  {"cls_embedding.embedding_table.weight", {1001, 768}}});
  EXPECT_EQ(b["parts"][0]["network"],
            "LlamaGen-B transformer: dim 768, depth 12, 64 codes, class table of 1,001 rows");
  EXPECT_EQ(b["parts"][0]["config"]["ar.heads"], "12");
  EXPECT_EQ(b["parts"][0]["config"]["data.num_classes"], "1000");
  const auto text = inspected(tiny, {{"tok_embeddings.weight", {64, 1440}},
                                     {"layers.35.attention_norm.weight", {1440}},
                                     {"layers.0.attention.wqkv_text.weight", {3, 1440}},
                                     {"layers.1.attention.wqkv_text.weight", {3, 1440}},
                                     {"cls_embedding.cap_proj.fc1.weight", {1440, 2048}}});
  EXPECT_EQ(text["parts"][0]["network"],
            "LlamaGen-1B transformer: dim 1,440, depth 36, 64 codes, text-conditional (captions of "
            "width 2,048, 2 double-stream layers)");
}

TEST(InspectGuess, TellsPerceptualNetworksApart) {
  const TinySetup tiny;
  const auto vgg = inspected(tiny, {{"features.0.weight", {64, 3, 3, 3}},
                                    {"features.28.weight", {512, 512, 3, 3}},
                                    {"classifier.0.weight", {8, 8}}});
  EXPECT_EQ(vgg["kind"], "torchvision VGG-16");
  EXPECT_EQ(vgg["parts"][0]["path_key"], "loss.lpips_vgg_weights");
  const auto nineteen = inspected(
      tiny, {{"features.0.weight", {64, 3, 3, 3}}, {"features.34.weight", {512, 512, 3, 3}}});
  EXPECT_EQ(nineteen["kind"], "torchvision VGG-19");
  EXPECT_EQ(nineteen["parts"][0]["path_key"], "");
  const auto linear = inspected(
      tiny, {{"lin0.model.1.weight", {1, 64, 1, 1}}, {"lin1.model.1.weight", {1, 128, 1, 1}}});
  EXPECT_EQ(linear["kind"], "LPIPS linear weights (v0.1, for VGG-16)");
  EXPECT_EQ(linear["parts"][0]["path_key"], "loss.lpips_linear_weights");
  const auto alex = inspected(
      tiny, {{"lin0.model.1.weight", {1, 64, 1, 1}}, {"lin1.model.1.weight", {1, 192, 1, 1}}});
  EXPECT_EQ(alex["parts"][0]["network"], "LPIPS: linear weights alone, for AlexNet");
  EXPECT_EQ(alex["parts"][0]["path_key"], "");
}

/// A tokenizer of each family, small enough to train in a second.
std::map<std::string, std::vector<std::string>> families() {
  const std::vector<std::string> small = {"tokenizer.ch=32", "tokenizer.num_res_blocks=1"};
  std::map<std::string, std::vector<std::string>> families = {
      {"VQ",
       {"tokenizer.quantizer.kind=vq", "tokenizer.quantizer.codebook_size=32",
        "tokenizer.quantizer.codebook_dim=4", "tokenizer.ch_mult=[1, 2]", "tokenizer.z_channels=8",
        "tokenizer.attention_levels=[0, 1]"}},
      {"IBQ",
       {"tokenizer.quantizer.kind=ibq", "tokenizer.quantizer.codebook_size=32",
        "tokenizer.quantizer.codebook_dim=8", "tokenizer.ch_mult=[1, 2]",
        "tokenizer.decoder_ch_mult=[1, 1]", "tokenizer.z_channels=8"}},
      {"SimVQ",
       {"tokenizer.quantizer.kind=simvq", "tokenizer.quantizer.codebook_size=32",
        "tokenizer.quantizer.codebook_dim=4", "tokenizer.ch_mult=[1, 1]"}},
      {"FSQ",
       {"tokenizer.quantizer.kind=fsq", "tokenizer.quantizer.codebook_size=60",
        "tokenizer.quantizer.codebook_dim=3", "tokenizer.quantizer.levels=[5, 4, 3]",
        "tokenizer.ch_mult=[1, 1]"}},
      {"LFQ",
       {"tokenizer.quantizer.kind=lfq", "tokenizer.quantizer.codebook_size=64",
        "tokenizer.quantizer.codebook_dim=6", "tokenizer.ch_mult=[1, 1, 2]",
        "tokenizer.downsample=2"}},
      {"GLFQ",
       {"tokenizer.quantizer.kind=glfq", "tokenizer.quantizer.codebook_size=16777216",
        "tokenizer.quantizer.codebook_dim=24", "tokenizer.quantizer.groups=4",
        "tokenizer.ch_mult=[1, 1]"}}};
  for (auto& [name, keys] : families) keys.insert(keys.end(), small.begin(), small.end());
  return families;
}

/// What the files of FSQ and GLFQ do not tell.
std::vector<std::string> untold(const std::string& family) {
  if (family == "FSQ") {
    return {"tokenizer.quantizer.levels=[5, 4, 3]", "tokenizer.quantizer.codebook_size=60"};
  }
  return family == "GLFQ" ? std::vector<std::string>{"tokenizer.quantizer.groups=4"}
                          : std::vector<std::string>{};
}

TEST(InspectGuess, KeysOfEveryTokenizerFamilyLoadTheFileTheyWereReadFrom) {
  for (const auto& [family, made_with] : families()) {
    const TinySetup tiny;
    const auto overrides = [&](std::vector<std::string> keys) {
      keys.insert(keys.end(), {"recipe=tokenizer", "steps=1", "loss.gan=0"});
      return keys;
    };
    ASSERT_EQ(tiny.train(overrides(made_with)).exit_code, exit_code::kSuccess) << family;
    const std::string file =
        (tiny.run() / "checkpoints" / "step-00000001" / "tokenizer.safetensors").string();
    const auto part = Json::parse(tiny.gear({"inspect", file, "--json"}).out)["parts"][0];
    EXPECT_THAT(part["network"].get<std::string>(), ::testing::StartsWith(family + " tokenizer: "));
    EXPECT_EQ(part["path_key"], "init.tokenizer");
    EXPECT_EQ(part["untold"] == "", untold(family).empty()) << part["untold"];
    std::vector<std::string> keys = untold(family);
    for (const auto& [key, value] : part["config"].items()) {
      keys.push_back(key + "=" + value.get<std::string>());
    }
    keys.push_back("init.tokenizer=" + file);
    keys.push_back("run_dir=" + (tiny.root() / "again").string());
    const Outcome again = tiny.train(overrides(keys));
    EXPECT_EQ(again.exit_code, exit_code::kSuccess) << family << ": " << again.err;
  }
}

TEST(InspectGuess, PublishedTokenizersAreCalledByTheirNumber) {
  const TinySetup tiny;
  const std::map<std::string, Shape> eight = {
      {"encoder.conv_in.weight", {128, 3, 3, 3}},
      {"encoder.conv_blocks.0.res.0.conv1.weight", {128, 1, 1, 1}},
      {"encoder.conv_blocks.1.res.0.conv1.weight", {256, 1, 1, 1}},
      {"encoder.conv_blocks.2.res.0.conv1.weight", {256, 1, 1, 1}},
      {"encoder.conv_blocks.3.res.0.conv1.weight", {512, 1, 1, 1}},
      {"quantize.embedding.weight", {16384, 8}}};
  EXPECT_EQ(inspected(tiny, eight)["parts"][0]["network"],
            "VQ-8 tokenizer: 16,384 codes of width 8, base width 128, downsampling 8");
}

TEST(InspectGuess, FilesOfTheReferenceAndOfLightningAreCalledWhatTheyAre) {
  const TinySetup tiny;
  using namespace io::pickled;
  const std::string ten = tensor(storage("0", 10), {10}, {1});
  const auto kind = [&](const std::string& body) {
    const fs::path path = tiny.root() / "x.pt";
    io::write_bytes(path, io::torch_zip(body));
    return Json::parse(tiny.gear({"inspect", path.string(), "--json"}).out)["kind"];
  };
  const std::string part = dict({{"w", ten}});
  EXPECT_EQ(kind(dict({{"vq", part},
                       {"vq_ema", part},
                       {"ar", part},
                       {"ema", part},
                       {"projectors", part},
                       {"discriminator", part},
                       {"opt_vq", part},
                       {"opt_disc", part},
                       {"steps", integer(50000)}})),
            "training file of the reference, stage 1 (vq, vq_ema, ar, ema, projectors, "
            "discriminator, optimizers), step 50000");
  EXPECT_EQ(kind(dict({{"ar", part}, {"ema", part}, {"opt", part}, {"steps", integer(7)}})),
            "training file of the reference, stage 2 (ar, ema, optimizers), step 7");
  EXPECT_EQ(kind(dict({{"epoch", integer(3)},
                       {"global_step", integer(90)},
                       {"pytorch-lightning_version", text("2.0.1")},
                       {"state_dict", dict({{"a.w", ten}, {"model_ema.aw", ten}})}})),
            "Lightning checkpoint with EMA shadows, version 2.0.1, epoch 3, step 90");
  EXPECT_EQ(kind(dict({{"global_step", integer(90)}, {"state_dict", part}})),
            "Lightning checkpoint without EMA shadows, step 90");
  EXPECT_EQ(kind(dict({{"model", part}})), "release with its network under model");
  EXPECT_EQ(kind(part), "bare map of tensors");
  EXPECT_EQ(kind(dict({{"steps", integer(1)}})), "no tensors");
}

TEST(InspectGuess, HuggingFaceFolderIsCalledOne) {
  const TinySetup tiny;
  const fs::path folder = tiny.root() / "dinov2-base";
  fs::create_directory(folder);
  io::write_safetensors(
      folder / "model.safetensors",
      {{"embeddings.cls_token", at::zeros({1, 1, 768})},
       {"embeddings.position_embeddings", at::zeros({1, 1370, 768})},
       {"embeddings.patch_embeddings.projection.weight", at::zeros({768, 3, 14, 14})},
       {"encoder.layer.11.norm1.weight", at::zeros({768})}});
  io::write_bytes(folder / "config.json", R"({"model_type": "dinov2"})");
  const std::string out = tiny.gear({"inspect", folder.string()}).out;
  EXPECT_THAT(out, HasSubstr("  kind: Hugging Face folder in the style of facebook/dinov2-base\n"));
  EXPECT_THAT(
      out,
      HasSubstr("    teacher.model: dinov2-vit-b\n    teacher.weights: " + folder.string() + "\n"));
  EXPECT_THAT(out, HasSubstr("  config.json model_type: dinov2\n"));
}

TEST(InspectGuess, OfTheGoldenFiles) {
  const TinySetup tiny;
  const fs::path good = fs::path(GEAR_SOURCE_DIR) / "tests" / "golden" / "checkpoints" / "good";
  const auto json =
      Json::parse(tiny.gear({"inspect", (good / "stage0.pt").string(), "--json"}).out);
  EXPECT_THAT(json["kind"].get<std::string>(),
              ::testing::StartsWith("training file of the reference, stage 0 (vq, vq_ema, "));
  // Its large tensors, the first convolution among them, were left out when the file was made.
  EXPECT_EQ(json["parts"][0]["network"], "VQ tokenizer: 16 codes of width 4, base width ?");
  EXPECT_EQ(json["parts"][0]["path_key"], "");
}

}  // namespace
}  // namespace gear::cli::testing
