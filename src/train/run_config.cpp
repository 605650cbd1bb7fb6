#include "gear/train/run_config.h"

namespace gear::train {

void RunConfig::check(const config::Where& at) const {
  const int64_t factor = tokenizer.downsampling();
  if (data.image_size % factor != 0) {
    fail(at("data.image_size"), "must be divisible by the downsampling factor ", factor,
         " (2 to the number of tokenizer.ch_mult levels but one), got ", data.image_size);
  }
  if (grid() < 2) {
    fail(at("data.image_size"), "leaves a latent of ", grid(), " x ", grid(),
         " tokens; needs at least 2 x 2, so at least ", 2 * factor, " pixels");
  }
  if (data.batch_size % optimizer.accumulation != 0) {
    fail(at("optimizer.accumulation"), "must divide data.batch_size (", data.batch_size, "), got ",
         optimizer.accumulation);
  }
  if (optimizer.schedule == "cosine" && optimizer.warmup_steps >= steps) {
    fail(at("optimizer.warmup_steps"), "must be below steps (", steps, "), got ",
         optimizer.warmup_steps);
  }
  if (output.eval_every > 0 && data.val_path.empty()) {
    fail(at("data.val_path"), "must name a held-out folder when output.eval_every is not 0");
  }
  if (recipe == RecipeKind::kTokenizer) return;
  if (loss.repa && loss.tap > ar.depth) {
    fail(at("loss.tap"), "must be a block of the transformer (1 to ar.depth = ", ar.depth,
         "), got ", loss.tap);
  }
  if (recipe == RecipeKind::kAr && init.from.empty() && init.tokenizer.empty()) {
    fail(at("init.from"),
         "must name the run of an earlier stage, or init.tokenizer a trained tokenizer: the recipe ar "
         "trains the transformer on a frozen one");
  }
  if (output.preview_every > 0 && output.sample_cfg > 1.0 && ar.class_dropout == 0.0) {
    fail(at("output.sample_cfg"), "must be at most 1 (no guidance) when ar.class_dropout is 0: such a "
         "transformer has no null class, got ", output.sample_cfg);
  }
}

models::ArConfig RunConfig::resolved_ar() const {
  models::ArConfig resolved = ar;
  resolved.vocab_size = tokenizer.quantizer.codebook_size;
  resolved.num_tokens = grid() * grid();
  resolved.num_classes = data.num_classes;
  return resolved;
}

}  // namespace gear::train
