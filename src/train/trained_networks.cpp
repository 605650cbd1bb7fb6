#include "gear/train/trained_networks.h"

#include "gear/models/ar/ar_model.h"
#include "gear/models/ar/projector.h"
#include "gear/models/critics/patch_gan.h"
#include "gear/models/teachers/teacher.h"
#include "gear/models/tokenizers/tokenizer.h"

namespace gear::train {
namespace {

std::vector<int64_t> teacher_widths(const RunConfig& config) {
  models::TeacherConfig shapes = config.teacher;
  shapes.weights.clear();  // the shapes are enough
  std::vector<int64_t> widths;
  for (const auto& single : models::single_teachers(shapes)) {
    widths.push_back(models::make_teacher(single, config.grid())->feature_dim());
  }
  return widths;
}

}  // namespace

std::vector<TrainedNetwork> trained_networks(const RunConfig& config) {
  const bool trains_tokenizer = config.recipe != RecipeKind::kAr;
  const bool trains_ar = config.recipe != RecipeKind::kTokenizer;
  // The soft read-out goes through the transformer a second time.
  const int64_t ar_passes = config.recipe == RecipeKind::kGear && config.loss.repa ? 2 : 1;
  std::vector<TrainedNetwork> networks;
  if (trains_tokenizer) {
    networks.push_back({.name = "tokenizer",
                        .module = models::make_tokenizer(config.tokenizer),
                        .averaged = true});
  }
  if (trains_tokenizer && config.loss.gan > 0.0) {
    networks.push_back({.name = "discriminator",
                        .module = models::PatchGan(config.discriminator).ptr(),
                        .forward_passes = 3});  // its own update sees both images
  }
  if (trains_ar) {
    networks.push_back({.name = "ar",
                        .module = models::ArModel(config.resolved_ar()).ptr(),
                        .averaged = true,
                        .forward_passes = ar_passes});
  }
  if (trains_ar && config.loss.repa) {
    networks.push_back({.name = "projector",
                        .module = models::Projector(config.ar.dim, config.loss.projector_dim,
                                                    teacher_widths(config))
                                      .ptr(),
                        .forward_passes = ar_passes});
  }
  return networks;
}

}  // namespace gear::train
