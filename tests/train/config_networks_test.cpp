// Every recipe under configs/ builds the networks that its name promises, as the published code has
// them: names, shapes and counts of the golden manifests. Nothing has storage.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/projector.h"
#include "gear/models/critics/lpips.h"
#include "gear/models/teachers/dinov2.h"
#include "gear/nn/meta_scope.h"
#include "gear/train/run_config.h"
#include "golden_runner/module_manifest.h"
#include "project_folders.h"

namespace gear::train {
namespace {

namespace fs = std::filesystem;
using Names = std::map<std::string, std::string>;

// Manifests by what stands in the name of a file; "": none is published.
const Names kTokenizers = {{"vq16", "vq-16"}, {"vq8", "vq-8"}, {"lfq16", "lfq-16"},
                           {"lfq8", ""},      {"glfq16", ""},  {"ibq16", "ibq-16"},
                           {"fsq16", ""},     {"simvq16", ""}};
const Names kSizes = {{"s", ""}, {"b", "b"}, {"l", "l"}, {"xl", "xl"}, {"xxl", ""}, {"xxxl", ""}};

/// "stage1_lfq16_xl.yaml" with kSizes -> "xl"; the default where no part of the name is a key.
std::string promised(const fs::path& file, const Names& names, const std::string& otherwise) {
  std::stringstream parts(file.stem().string());
  for (std::string part; std::getline(parts, part, '_');) {
    if (const auto found = names.find(part); found != names.end()) return found->second;
  }
  return otherwise;
}

/// Builds networks and remembers with which manifests they were compared.
class Checker {
 public:
  void check(const fs::path& file) {
    const auto config = config::load<RunConfig>(file);
    const bool published = file.parent_path() != GEAR_SOURCE_DIR "/configs";
    const std::string size = published ? promised(file, kSizes, "b") : "";
    expect(published ? promised(file, kTokenizers, "vq-16") : "",
           *models::make_tokenizer(config.tokenizer));
    if (config.recipe != RecipeKind::kAr) check_critics(config, published);
    if (config.recipe == RecipeKind::kTokenizer) return;
    expect(size.empty() ? "" : "llamagen-" + size + "_c2i_256",
           *models::ArModel(config.resolved_ar()));
    if (config.loss.repa) check_alignment(config, size);
  }

  const std::set<std::string>& compared() const { return compared_; }

 private:
  void check_critics(const RunConfig& config, bool published) {
    expect(published ? "patchgan" : "", *models::PatchGan(config.discriminator));
    if (config.loss.perceptual > 0.0) expect("lpips_vgg", *models::make_lpips("", ""));
  }

  void check_alignment(const RunConfig& config, const std::string& size) {
    models::TeacherConfig shape = config.teacher;
    shape.weights.clear();
    const auto teacher = models::make_teacher(shape, config.grid());
    expect("", *teacher);
    // The published file has positions for 518 pixels, the teacher those of the tokenizer's grid.
    if (shape.model == "dinov2-vit-b") {
      expect("dinov2_vitb14", models::Dinov2(models::dinov2_config('b', /*registers=*/false)));
    }
    const bool same_width = teacher->feature_dim() == 768;  // as DINOv2-B, for which they are
    const models::Projector projector(config.ar.dim, config.loss.projector_dim,
                                      std::vector<int64_t>{teacher->feature_dim()});
    expect(size.empty() || !same_width ? "" : "projector_" + size + "_dinov2b", *projector);
  }

  void expect(const std::string& model, const torch::nn::Module& module) {
    EXPECT_FALSE(module.parameters().empty());
    if (model.empty()) return;
    compared_.insert(model);
    std::ifstream stream(GEAR_SOURCE_DIR "/tests/golden/manifests/" + model + ".json");
    golden::compare_with_manifest(
        model, nlohmann::ordered_json::parse(stream), module,
        [](const std::string& what, bool agrees) { EXPECT_TRUE(agrees) << what; });
  }

  const nn::MetaScope meta_;
  std::set<std::string> compared_;
};

TEST(ConfigNetworks, EveryRecipeBuildsThePublishedNetworks) {
  Checker checker;
  for (const auto& entry : fs::recursive_directory_iterator(GEAR_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path().string());
    checker.check(entry.path());
  }
  EXPECT_EQ(checker.compared(),
            (std::set<std::string>{"vq-16", "vq-8", "lfq-16", "ibq-16", "llamagen-b_c2i_256",
                                   "llamagen-l_c2i_256", "llamagen-xl_c2i_256", "dinov2_vitb14",
                                   "projector_b_dinov2b", "projector_l_dinov2b",
                                   "projector_xl_dinov2b", "patchgan", "lpips_vgg"}));
}

TEST(ConfigNetworks, SizesWithoutARecipeAreThoseOfTheTransformersPresets) {
  for (const std::string size : {"S", "B", "L", "XL", "XXL", "XXXL"}) {
    std::string file = "ar_" + size + ".yaml";
    std::transform(file.begin(), file.end(), file.begin(), ::tolower);
    const auto config = config::load<RunConfig>(GEAR_SOURCE_DIR "/configs/imagenet256/" + file);
    const auto preset = models::ar_preset(size);
    EXPECT_EQ(config.ar.dim, preset.dim) << size;
    EXPECT_EQ(config.ar.depth, preset.depth) << size;
    EXPECT_EQ(config.ar.heads, preset.heads) << size;
    EXPECT_EQ(config.loss.tap, preset.depth / 3) << size;
  }
}

}  // namespace
}  // namespace gear::train
