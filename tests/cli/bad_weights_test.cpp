// Weight files that are not what they should be, as a user meets them: at every key that takes one
// and in gear inspect. Each message says which file or tensor, what was found, what was expected
// and what to do.

#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tiny_setup.h"
#include "gear/io/safetensors.h"
#include "gear/io/weights.h"
#include "gear/models/teachers/teacher.h"
#include "io/pickle_builder.h"

namespace gear::cli::testing {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using namespace io::pickled;

/// A way in which a weight file can be no weights, and what is said of it after its path.
struct Wrong {
  std::string name;
  std::string bytes;
  std::string sentence;
};

std::vector<Wrong> wrong_files() {
  std::string zip = io::torch_zip(dict({{"w", tensor(storage("0", 10), {10}, {1})}}));
  const std::string legacy = io::torch_legacy(dict({{"w", tensor(storage("0", 10), {10}, {1})}}));
  std::string flipped = zip;
  flipped[flipped.find("archive/data/0") + 14 + 5] ^= 4;
  return {
      {"empty.pt", "", ": is empty; fetch or copy it again"},
      {"pointer.safetensors",
       "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 346378731\n",
       ": is a Git LFS pointer, not the weights; fetch the real file (git lfs pull)"},
      {"page.pth", "<!DOCTYPE html>\n<html><title>Sign in</title></html>\n",
       ": is a web page, not weights; the link probably needed a login, fetch it again"},
      {"cut.pt", zip.substr(0, zip.size() / 2),
       ": the end of the archive (the zip directory) is missing; the file is truncated, fetch or "
       "copy it again"},
      {"cut_legacy.pt", legacy.substr(0, legacy.size() - 4),
       ": ends within storage 0; it is truncated, fetch or copy it again"},
      {"flipped.pt", flipped,
       ": record archive/data/0 is damaged (its checksum differs); fetch it again"},
      {"notes.pt", "lr 1e-4\n",
       ": is neither safetensors nor a file of torch.save; it has 8 bytes and begins with 6c 72 20 "
       "31; name a weight file, or fetch it again"}};
}

/// The keys that take a weight file, with what makes a tiny run use them.
std::vector<std::vector<std::string>> weight_keys() {
  return {{"init.tokenizer"},
          {"init.from"},
          {"init.ar"},
          {"teacher.weights"},
          {"loss.lpips_vgg_weights", "loss.perceptual=1"},
          {"loss.lpips_linear_weights", "loss.perceptual=1"}};
}

class BadWeights : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& bytes) const {
    const fs::path path = tiny_.root() / name;
    io::write_bytes(path, bytes);
    return path.string();
  }
  std::string write(const std::string& name, const io::TensorMap& tensors) const {
    const fs::path path = tiny_.root() / name;
    io::write_safetensors(path, io::NamedTensors(tensors.begin(), tensors.end()));
    return path.string();
  }
  Outcome train_with(std::vector<std::string> key, const std::string& value) const {
    key.front() += "=" + value;
    key.emplace_back("steps=1");
    return tiny_.train(key);
  }
  /// The weights of the tokenizer of a run of one step.
  io::TensorMap tokenizer_weights() const {
    EXPECT_EQ(tiny_.train({"steps=1"}).exit_code, exit_code::kSuccess);
    const fs::path checkpoint = tiny_.run() / "checkpoints" / "step-00000001";
    return io::load_tensors(checkpoint / "tokenizer.safetensors");
  }
  /// A run in a folder of its own, so that it starts anew.
  Outcome train_anew(std::vector<std::string> overrides) const {
    overrides.insert(overrides.end(), {"steps=1", "run_dir=" + again().string()});
    return tiny_.train(overrides);
  }
  fs::path again() const { return tiny_.root() / "again"; }

  TinySetup tiny_;
};

TEST_F(BadWeights, AreCalledWhatTheyAreByInspect) {
  for (const Wrong& wrong : wrong_files()) {
    const std::string path = write(wrong.name, wrong.bytes);
    expect_user_error(tiny_.gear({"inspect", path}), path + wrong.sentence);
  }
}

TEST_F(BadWeights, AreCalledWhatTheyAreAtEveryKey) {
  const auto files = wrong_files();
  for (const auto& key : weight_keys()) {
    for (const size_t i : {size_t{1}, size_t{2}, size_t{5}}) {  // pointer, page, flipped bit
      const std::string path = write(files[i].name, files[i].bytes);
      expect_user_error(train_with(key, path), path + files[i].sentence);
      EXPECT_FALSE(fs::exists(tiny_.run())) << key.front();
    }
  }
}

TEST_F(BadWeights, AFolderWithoutWeightsIsNamedAtEveryKey) {
  const fs::path folder = tiny_.root() / "folder";
  fs::create_directory(folder);
  const std::string message =
      folder.string() +
      ": is a folder without a weight file; name a file (.safetensors, .pt, .pth, .ckpt, .bin) or "
      "a folder that holds one";
  expect_user_error(tiny_.gear({"inspect", folder.string()}), message);
  for (const auto& key : weight_keys())
    expect_user_error(train_with(key, folder.string()), message);
}

TEST_F(BadWeights, CutSafetensorsAreRefusedAtEveryStructuralBoundary) {
  const std::string whole =
      write("whole.safetensors", {{"a", at::zeros({3})}, {"b", at::zeros({2, 2})}});
  const std::string bytes = io::read_bytes(whole);
  const size_t header_end = bytes.rfind('}') + 1;
  const size_t data_begin = bytes.size() - 7 * sizeof(float);
  for (const size_t size : {size_t{4}, size_t{8}, size_t{9}, header_end, data_begin,
                            bytes.size() - 16, bytes.size() - 12, bytes.size() - 1}) {
    const std::string path = write("cut.safetensors", bytes.substr(0, size));
    const Outcome outcome = tiny_.gear({"inspect", path});
    EXPECT_EQ(outcome.exit_code, exit_code::kUserError) << size << " bytes: " << outcome.out;
    EXPECT_THAT(outcome.last_error_line(), StartsWith("error: " + path + ": ")) << size;
  }
}

TEST_F(BadWeights, AFlippedBitInACheckpointIsFoundByItsChecksum) {
  ASSERT_EQ(tiny_.train({"steps=1"}).exit_code, exit_code::kSuccess);
  const fs::path checkpoint = tiny_.run() / "checkpoints" / "step-00000001";
  const fs::path file = checkpoint / "tokenizer.safetensors";
  std::string bytes = io::read_bytes(file);
  bytes[bytes.size() - 100] ^= 1;
  io::write_bytes(file, bytes);
  const std::string damage =
      file.string() +
      ": damaged: its SHA-256 is not the one in manifest.json; copy it again, or name another "
      "checkpoint of the run";
  expect_user_error(tiny_.gear({"inspect", checkpoint.string()}), damage);
  expect_user_error(train_anew({"init.from=" + checkpoint.string()}), damage);
}

TEST_F(BadWeights, OfAnotherFamilyOfTeacherNameBoth) {
  const std::string path = write("dinov3.safetensors", {{"cls_token", at::zeros({1, 1, 32})},
                                                        {"storage_tokens", at::zeros({1, 4, 32})}});
  expect_user_error(
      train_with({"teacher.weights"}, path),
      path +
          ": holds a DINOv3 encoder (it has storage_tokens), expected DINOv2; set teacher.model to "
          "that family, for example dinov3-vit-b, or teacher.weights to a file such as "
          "dinov2_vitb14_pretrain.pth");
}

TEST_F(BadWeights, OfAnotherNetworkNameParametersThatAreMissing) {
  const std::string path =
      write("vgg.safetensors", {{"features.0.weight", at::zeros({64, 3, 3, 3})}});
  EXPECT_THAT(train_with({"init.tokenizer"}, path).last_error_line(),
              AllOf(StartsWith("error: " + path + ": lacks "),
                    HasSubstr(" of the model's parameters (encoder.conv_in.weight, "),
                    EndsWith("; gear inspect " + path + " tells what it holds")));
  expect_user_error(train_with({"loss.lpips_linear_weights", "loss.perceptual=1"}, path),
                    path +
                        ": lacks 5 of the model's parameters (lin0.model.1.weight, "
                        "lin1.model.1.weight, lin2.model.1.weight, lin3.model.1.weight, "
                        "lin4.model.1.weight); the file is of another model, or another "
                        "configuration of it; expected vgg.pth of LPIPS v0.1");
  const std::string linear =
      write("vgg.pth", io::TensorMap{{"lin0.model.1.weight", at::zeros({1, 64, 1, 1})}});
  expect_user_error(
      train_with({"loss.lpips_vgg_weights", "loss.perceptual=1"}, linear),
      linear + ": holds no features.*.weight; expected torchvision's vgg16-397923af.pth");
}

TEST_F(BadWeights, AMissingTensorIsNamed) {
  auto weights = tokenizer_weights();
  weights.erase("quantize.embedding.weight");
  const std::string path = write("x.safetensors", weights);
  expect_user_error(train_anew({"init.tokenizer=" + path}),
                    path +
                        ": lacks 1 of the model's parameters (quantize.embedding.weight); the file "
                        "is of another model, or another configuration of it; gear inspect " +
                        path + " tells what it holds");
}

TEST_F(BadWeights, AnotherShapeIsNamedWithBothShapes) {
  auto weights = tokenizer_weights();
  weights["quantize.embedding.weight"] = at::zeros({64, 4});
  const std::string path = write("x.safetensors", weights);
  expect_user_error(
      train_anew({"init.tokenizer=" + path}),
      path + ": quantize.embedding.weight: expected [32, 4], got [64, 4]; gear inspect " + path +
          " tells what it holds");
}

TEST_F(BadWeights, AnExtraTensorIsLeftOutAndNamed) {
  auto weights = tokenizer_weights();
  weights["quantize.codebook_used"] = at::zeros({65536});
  const std::string path = write("x.safetensors", weights);
  const Outcome outcome = train_anew({"init.tokenizer=" + path});
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(path + ": left out 1 tensor that the model has no place for "
                                            "(quantize.codebook_used)\n"));
}

TEST_F(BadWeights, OfHalfPrecisionAreConvertedExactly) {
  const auto weights = tokenizer_weights();
  for (const auto& [dtype, name] :
       {std::pair(at::kHalf, "F16"), std::pair(at::kBFloat16, "BF16")}) {
    io::TensorMap half;
    for (const auto& [key, tensor] : weights) half[key] = tensor.to(dtype);
    const std::string path = write("half.safetensors", half);
    EXPECT_THAT(tiny_.gear({"inspect", path}).out,
                HasSubstr(" values (" + std::string(name) + ")"));
    fs::remove_all(again());
    ASSERT_EQ(train_anew({"init.tokenizer=" + path, "optimizer.tokenizer_lr=0"}).exit_code,
              exit_code::kSuccess);
    const auto read =
        io::load_tensors(again() / "checkpoints" / "step-00000001" / "tokenizer.safetensors");
    for (const auto& [key, tensor] : half) {
      EXPECT_TRUE(at::equal(read.at(key), tensor.to(at::kFloat))) << key;
    }
  }
}

TEST_F(BadWeights, AFileOfOtherPartsSaysWhatItLacksAndHowToLookInside) {
  const std::string ten = tensor(storage("0", 10), {10}, {1});
  const std::string path =
      write("x.pt", io::torch_zip(dict({{"ar", dict({{"w", ten}})}, {"steps", integer(3)}})));
  const Outcome outcome = train_with({"init.tokenizer"}, path);
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.last_error_line(), HasSubstr(path + ": lacks "));
  EXPECT_THAT(outcome.last_error_line(), HasSubstr("encoder.conv_in.weight"));
  EXPECT_THAT(outcome.last_error_line(),
              HasSubstr("gear inspect " + path + " tells what it holds"));
}

TEST_F(BadWeights, AFolderWithOneFileIsReadLikeTheFile) {
  models::TeacherConfig config;
  config.model = "dinov2-custom";
  config.custom_dim = 32;
  config.custom_depth = 1;
  config.custom_heads = 2;
  const auto teacher = models::make_teacher(config, /*grid=*/8);
  const fs::path folder = tiny_.root() / "dinov2";
  fs::create_directory(folder);
  io::NamedTensors tensors;
  for (const auto& item : teacher->named_parameters()) {
    tensors.emplace_back(item.key(), item.value());
  }
  io::write_safetensors(folder / "model.safetensors", tensors);
  io::write_bytes(folder / "config.json", "{}");
  const Outcome outcome = train_with({"teacher.weights"}, folder.string());
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
}

TEST_F(BadWeights, AnIndexWithoutItsShardsNamesThem) {
  const fs::path folder = tiny_.root() / "dinov2-base";
  fs::create_directory(folder);
  const fs::path index = folder / "model.safetensors.index.json";
  io::write_bytes(index, R"({"weight_map":{"embeddings.cls_token":"model-1.safetensors"}})");
  const std::string message = index.string() +
                              ": embeddings.cls_token is in model-1.safetensors, which is not "
                              "there; fetch every file that the index names";
  expect_user_error(train_with({"teacher.weights"}, folder.string()), message);
  expect_user_error(tiny_.gear({"inspect", folder.string()}), message);
}

}  // namespace
}  // namespace gear::cli::testing
