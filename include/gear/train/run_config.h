#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "gear/config/config.h"
#include "gear/core/device.h"
#include "gear/data/data_config.h"
#include "gear/losses/alignment.h"
#include "gear/losses/reconstruction.h"
#include "gear/models/ar/ar_config.h"
#include "gear/models/critics/patch_gan.h"
#include "gear/models/teachers/teacher.h"
#include "gear/models/tokenizers/tokenizer.h"
#include "gear/train/optimizer_config.h"
#include "gear/train/sharding/parallel_config.h"

namespace gear::train {

enum class RecipeKind { kTokenizer, kGear, kAr };
enum class Readout { kSoft, kSte };
enum class Precision { kFp32, kBf16, kAuto };
enum class Convolutions { kDirect, kWinograd, kAuto };

/// Weights and switches of every loss. Spec 03.
struct LossConfig {
  double reconstruction = 1.0;
  losses::ReconstructionKind reconstruction_kind = losses::ReconstructionKind::kL1;
  double perceptual = 1.0;
  std::string lpips_vgg_weights;
  std::string lpips_linear_weights;
  double gan = 0.1;
  double gan_factor = 1.0;
  int64_t gan_start = 0;
  double lecam = 0.0;
  double lecam_decay = 0.999;
  double quantizer = 1.0;
  double align_tokenizer = 0.5;
  double align_ar = 0.5;
  Readout readout = Readout::kSoft;
  double temperature = 0.1;
  int64_t tap = 4;
  int64_t projector_dim = 2048;
  losses::SpatialNorm spatial_norm = losses::SpatialNorm::kNone;
  double spatial_norm_alpha = 0.6;
  bool repa = true;

  template <class Visitor>
  void fields(Visitor& v) {
    v("reconstruction", reconstruction, "Weight of the pixel loss.", config::at_least(0));
    v("reconstruction_kind", reconstruction_kind, "Pixel loss.");
    v("perceptual", perceptual, "Weight of LPIPS; 0 leaves its network out.", config::at_least(0));
    v("lpips_vgg_weights", lpips_vgg_weights,
      "Path of torchvision's vgg16-397923af.pth; empty: random, announced at start.");
    v("lpips_linear_weights", lpips_linear_weights,
      "Path of the LPIPS linear weights vgg.pth (v0.1); empty: random, announced at start.");
    v("gan", gan, "Weight of -mean D(reconstruction); 0 leaves the discriminator out.",
      config::at_least(0));
    v("gan_factor", gan_factor,
      "Factor of both adversarial losses, the tokenizer's (beside gan) and the discriminator's "
      "own.",
      config::at_least(0));
    v("gan_start", gan_start, "First step at which the adversarial terms count.",
      config::in_range(0, 1e9));
    v("lecam", lecam, "Weight of the LeCam regulariser of the discriminator.", config::at_least(0));
    v("lecam_decay", lecam_decay, "Decay of the logit averages of LeCam.", config::in_range(0, 1));
    v("quantizer", quantizer, "Weight of codebook + commitment + entropy losses.",
      config::at_least(0));
    v("align_tokenizer", align_tokenizer,
      "lambda_s: weight of the soft-path alignment loss that reaches the tokenizer.",
      config::at_least(0));
    v("align_ar", align_ar, "lambda_h: weight of the alignment loss of the transformer.",
      config::at_least(0));
    v("readout", readout,
      "Read-out of the alignment path: soft (GEAR) or ste (straight-through, known to collapse).");
    v("temperature", temperature, "tau of the soft assignment.", config::greater_than(0));
    v("tap", tap, "Transformer block (1-based) whose output is aligned.",
      config::in_range(1, 1024));
    v("projector_dim", projector_dim, "Hidden width of the projector.", config::in_range(1, 65536));
    v("spatial_norm", spatial_norm, "Normalisation of the teacher features over the tokens.");
    v("spatial_norm_alpha", spatial_norm_alpha, "Share of the mean that spatial_norm removes.",
      config::in_range(0, 1));
    v("repa", repa, "Alignment with the teacher; false leaves teacher and projector out.");
  }
};

/// Where the weights come from at step 0; empty: from scratch. Optimizers always start fresh.
struct InitConfig {
  std::string from;
  std::string tokenizer;
  std::string discriminator;
  std::string ar;
  std::string projector;
  bool tokenizer_ema = true;

  template <class Visitor>
  void fields(Visitor& v) {
    v("from", from,
      "Run folder or checkpoint of an earlier stage: every network it has is taken. The keys below "
      "override it one by one.");
    v("tokenizer", tokenizer, "Checkpoint, run folder or weight file for the tokenizer.");
    v("discriminator", discriminator, "Same for the discriminator.");
    v("ar", ar, "Same for the transformer (its averaged weights where it has them).");
    v("projector", projector, "Same for the projector.");
    v("tokenizer_ema", tokenizer_ema,
      "Recipe ar: take the averaged tokenizer weights where there are some.");
  }
};

/// What is written while training, and how often (in steps; 0: never).
struct OutputConfig {
  int64_t log_every = 50;
  int64_t checkpoint_every = 5000;
  int64_t keep_checkpoints = 3;
  bool async_checkpoints = true;
  int64_t preview_every = 10000;
  int64_t preview_images = 8;
  int64_t eval_every = 0;
  int64_t eval_images = 0;
  double sample_cfg = 4.0;
  int64_t sample_cfg_interval = -1;
  int64_t sample_top_k = 2000;
  double sample_top_p = 1.0;
  double sample_temperature = 1.0;
  bool tensorboard = true;

  template <class Visitor>
  void fields(Visitor& v) {
    v("log_every", log_every, "Steps between lines of metrics.jsonl.", config::in_range(1, 1e9));
    v("checkpoint_every", checkpoint_every, "Steps between checkpoints; the end always has one.",
      config::in_range(0, 1e9));
    v("keep_checkpoints", keep_checkpoints, "Newest checkpoints kept.", config::in_range(1, 1e9));
    v("async_checkpoints", async_checkpoints,
      "Write checkpoints beside the steps, from a copy in memory; false: the steps wait.");
    v("preview_every", preview_every, "Steps between reconstruction and sample grids.",
      config::in_range(0, 1e9));
    v("preview_images", preview_images, "Pictures per grid.", config::in_range(1, 1024));
    v("eval_every", eval_every, "Steps between PSNR measurements on data.val_path.",
      config::in_range(0, 1e9));
    v("eval_images", eval_images, "Held-out images measured; 0: all.", config::in_range(0, 1e9));
    v("sample_cfg", sample_cfg, "Guidance of the sample grids.", config::at_least(0));
    v("sample_cfg_interval", sample_cfg_interval,
      "n: guide only tokens 0 to n + 1 of the sample grids; -1: all.", config::in_range(-1, 1e9));
    v("sample_top_k", sample_top_k, "Top-k of the sample grids; 0: off.",
      config::in_range(0, 16777216));
    v("sample_top_p", sample_top_p, "Top-p of the sample grids; 1: off.", config::in_range(0, 1));
    v("sample_temperature", sample_temperature, "Temperature of the sample grids.",
      config::at_least(0));
    v("tensorboard", tensorboard, "Write TensorBoard event files.");
  }
};

/// A whole training run: what a YAML file under configs/ holds.
struct RunConfig {
  RecipeKind recipe = RecipeKind::kGear;
  std::string run_dir;
  int64_t seed = 0;
  int64_t steps = 400000;
  Precision precision = Precision::kAuto;
  Convolutions convolutions = Convolutions::kAuto;
  DeviceChoice device = DeviceChoice::kAuto;
  int64_t threads = 0;
  data::DataConfig data;
  models::TokenizerConfig tokenizer;
  models::ArConfig ar;
  models::TeacherConfig teacher;
  models::PatchGanConfig discriminator;
  LossConfig loss;
  OptimizerConfig optimizer;
  ParallelConfig parallel;
  InitConfig init;
  OutputConfig output;

  template <class Visitor>
  void fields(Visitor& v) {
    v("recipe", recipe,
      "tokenizer: stage 0; gear: joint training; ar: transformer on a frozen tokenizer.");
    v("run_dir", run_dir, "Folder that will hold everything about the run.", config::not_empty());
    v("seed", seed, "Base of every random stream.");
    v("steps", steps, "Optimizer updates in total.", config::in_range(1, 1e9));
    v("precision", precision,
      "fp32, bf16 autocast (weights and losses stay float32), or auto: bf16 where the device has "
      "units for it; a run records which.");
    v("convolutions", convolutions,
      "Convolutions of stride 1 in float32 on a CPU: direct; winograd, with a quarter of the "
      "multiplications and three times the rounding error (1e-6 of a result); or auto: winograd "
      "where the CPU has AVX2; a run records which.");
    v("device", device, "auto: a GPU where CUDA finds one, else the CPU; cpu; cuda.");
    v("threads", threads, "Threads of the tensor library; 0: one per core.",
      config::in_range(0, 4096));
    v("data", data, "Images.");
    v("tokenizer", tokenizer, "Tokenizer.");
    v("ar", ar, "Transformer.");
    v("teacher", teacher, "Vision teacher of the alignment loss.");
    v("discriminator", discriminator, "Patch discriminator of the adversarial loss.");
    v("loss", loss, "Losses.");
    v("optimizer", optimizer, "Optimizers and averages.");
    v("parallel", parallel, "Several processes.");
    v("init", init, "Initial weights.");
    v("output", output, "Logs, checkpoints, pictures.");
  }
  /// Rules between sections, and the derived fields of `ar` (see ArConfig).
  void check(const config::Where& at) const;

  int64_t grid() const { return data.image_size / tokenizer.downsampling(); }  // tokens per side
  /// `ar` with vocab_size, num_tokens and num_classes filled in.
  models::ArConfig resolved_ar() const;
};

}  // namespace gear::train

template <>
struct gear::config::EnumNames<gear::train::RecipeKind> {
  static constexpr std::array<const char*, 3> value = {"tokenizer", "gear", "ar"};
};
template <>
struct gear::config::EnumNames<gear::train::Readout> {
  static constexpr std::array<const char*, 2> value = {"soft", "ste"};
};
template <>
struct gear::config::EnumNames<gear::train::Precision> {
  static constexpr std::array<const char*, 3> value = {"fp32", "bf16", "auto"};
};
template <>
struct gear::config::EnumNames<gear::train::Convolutions> {
  static constexpr std::array<const char*, 3> value = {"direct", "winograd", "auto"};
};
template <>
struct gear::config::EnumNames<gear::DeviceChoice> {
  static constexpr std::array<const char*, 3> value = {"auto", "cpu", "cuda"};
};
