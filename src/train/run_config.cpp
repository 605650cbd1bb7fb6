#include "gear/train/run_config.h"

namespace gear::train {
namespace {

/// Rules of every recipe.
void check_data_and_steps(const RunConfig& config, const config::Where& at) {
  const auto& data = config.data;
  const auto& optimizer = config.optimizer;
  const int64_t factor = config.tokenizer.downsampling();
  if (data.image_size % factor != 0) {
    fail(at("data.image_size"), "must be divisible by the downsampling factor ", factor,
         " (2 to the number of tokenizer.ch_mult levels but one), got ", data.image_size);
  }
  if (config.grid() < 2) {
    fail(at("data.image_size"), "leaves a latent of ", config.grid(), " x ", config.grid(),
         " tokens; needs at least 2 x 2, so at least ", 2 * factor, " pixels");
  }
  if (data.batch_size % optimizer.accumulation != 0) {
    fail(at("optimizer.accumulation"), "must divide data.batch_size (", data.batch_size, "), got ",
         optimizer.accumulation);
  }
  if (optimizer.schedule == Schedule::kCosine && optimizer.warmup_steps >= config.steps) {
    fail(at("optimizer.warmup_steps"), "must be below steps (", config.steps, "), got ",
         optimizer.warmup_steps, "; lower it or raise steps");
  }
}

/// Rules of the recipes that train a tokenizer.
void check_critics(const RunConfig& config, const config::Where& at) {
  constexpr int64_t kLeastForLpips = 16;  // VGG-16 halves the picture four times
  const int64_t side = config.data.image_size;
  const int64_t least_for_gan = config.discriminator.min_image_size();
  if (config.loss.perceptual > 0.0 && side < kLeastForLpips) {
    fail(at("data.image_size"), "must be at least ", kLeastForLpips,
         " for the network of loss.perceptual; raise it, or set loss.perceptual to 0, got ", side);
  }
  if (config.loss.gan > 0.0 && side < least_for_gan) {
    fail(at("data.image_size"), "must be at least ", least_for_gan, " for discriminator.layers ",
         config.discriminator.layers,
         "; raise it, lower discriminator.layers, or set loss.gan to 0, got ", side);
  }
  if (config.loss.lecam > 0.0 && config.loss.gan == 0.0) {
    fail(at("loss.lecam"),
         "must be 0 when loss.gan is 0, which leaves out the discriminator it regularises, got ",
         config.loss.lecam);
  }
}

/// Rules of a run that learns stored tokens instead of pictures.
void check_indices(const RunConfig& config, const config::Where& at) {
  if (config.recipe != RecipeKind::kAr) {
    fail(at("data.indices"), "is for recipe: ar, which keeps the tokenizer frozen; the recipe ",
         config::detail::format(config.recipe), " needs pictures, so leave it empty, got ",
         config.data.indices);
  }
  if (config.loss.repa) {
    fail(at("loss.repa"),
         "must be false with data.indices: the teacher of the alignment loss looks at pictures, "
         "and indices have none");
  }
}

/// Rules of the recipes that train a transformer.
void check_transformer(const RunConfig& config, const config::Where& at) {
  const auto& init = config.init;
  if (config.tokenizer.quantizer.kind == models::QuantizerKind::kGlfq) {
    fail(at("tokenizer.quantizer.kind"),
         "glfq gives every token an id for each of its groups, and no transformer here models "
         "that; use recipe: tokenizer, or kind: lfq");
  }
  if (config.loss.repa && config.loss.tap > config.ar.depth) {
    fail(at("loss.tap"), "must be a block of the transformer (1 to ar.depth = ", config.ar.depth,
         "), got ", config.loss.tap);
  }
  if (config.loss.repa) {
    models::check_teacher_images(config.teacher, config.data.image_size, config.grid(), at);
  }
  const bool needs_tokenizer = config.recipe == RecipeKind::kAr && config.data.indices.empty();
  if (needs_tokenizer && init.from.empty() && init.tokenizer.empty()) {
    fail(at("init.from"),
         "must name the run of an earlier stage, or init.tokenizer a trained tokenizer: the recipe "
         "ar trains the transformer on a frozen one");
  }
  const auto& output = config.output;
  if (output.preview_every > 0 && output.sample_cfg > 1.0 && config.ar.class_dropout == 0.0) {
    fail(at("output.sample_cfg"),
         "must be at most 1 (no guidance) when ar.class_dropout is 0: such a transformer has no "
         "null class, got ",
         output.sample_cfg);
  }
}

}  // namespace

void RunConfig::check(const config::Where& at) const {
  check_data_and_steps(*this, at);
  if (!data.indices.empty()) check_indices(*this, at);
  if (recipe != RecipeKind::kAr) check_critics(*this, at);
  if (recipe != RecipeKind::kTokenizer) check_transformer(*this, at);
}

models::ArConfig RunConfig::resolved_ar() const {
  models::ArConfig resolved = ar;
  resolved.vocab_size = tokenizer.quantizer.num_ids();
  resolved.num_tokens = grid() * grid();
  resolved.num_classes = data.num_classes;
  return resolved;
}

}  // namespace gear::train
