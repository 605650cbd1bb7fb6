#include "cli/run_setup.h"

#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <thread>

#include "cli/load_tokenizer.h"
#include "gear/core/text.h"
#include "gear/data/data_split.h"
#include "gear/io/weights.h"
#include "gear/nn/convolution.h"
#include "gear/train/checkpoint.h"

namespace gear::cli {
namespace {

/// The first of `candidates` that the checkpoint has.
std::string first_group(const train::Checkpoint& checkpoint,
                        const std::vector<std::string>& candidates) {
  for (const std::string& name : candidates) {
    if (checkpoint.contains(name)) return name;
  }
  fail(checkpoint.folder().string(), ": has no ", join(candidates, " or "), "; it has ",
       join(checkpoint.groups()));
}

/// Fails when `key` names something that is not there.
void expect_there(const char* key, const std::string& path, const char* advice) {
  if (path.empty() || std::filesystem::exists(path)) return;
  fail(key, ": ", path, ": no such file or folder; ", advice);
}

/// The weights of the frozen networks that the recipe uses, and the held-out pictures.
void expect_inputs(const train::RunConfig& config) {
  constexpr const char* kAdvice =
      "\"Pretrained weights\" in README.md tells where to get it, or leave the key empty for "
      "random weights";
  expect_there("data.val_path", config.data.val_path,
               "expected a folder with one sub-folder of held-out pictures per class, or nothing");
  if (config.recipe != train::RecipeKind::kTokenizer && config.loss.repa) {
    for (const auto& teacher : models::single_teachers(config.teacher)) {
      expect_there("teacher.weights", teacher.weights, kAdvice);
    }
  }
  if (config.recipe != train::RecipeKind::kAr && config.loss.perceptual > 0.0) {
    expect_there("loss.lpips_vgg_weights", config.loss.lpips_vgg_weights, kAdvice);
    expect_there("loss.lpips_linear_weights", config.loss.lpips_linear_weights, kAdvice);
  }
}

/// The earlier stages from which the networks of the recipe start.
void expect_initial_weights(const train::RunConfig& config) {
  constexpr const char* kAdvice =
      "expected a run folder or checkpoint of an earlier stage, or a weight file";
  const auto& init = config.init;
  expect_there("init.from", init.from, kAdvice);
  expect_there("init.tokenizer", init.tokenizer, kAdvice);
  if (config.recipe != train::RecipeKind::kAr && config.loss.gan > 0.0) {
    expect_there("init.discriminator", init.discriminator, kAdvice);
  }
  if (config.recipe == train::RecipeKind::kTokenizer) return;
  expect_there("init.ar", init.ar, kAdvice);
  if (config.loss.repa) expect_there("init.projector", init.projector, kAdvice);
}

/// data.path may name the folder above train/ and val/. A run on indices reads no pictures.
void take_split(data::DataConfig& config) {
  if (!config.indices.empty()) {
    config.val_path.clear();
    return;
  }
  const auto split = data::split_folder(config.path);
  config.path = split.train.string();
  if (config.val_path.empty()) config.val_path = split.held_out.string();
}

/// Fails when the folders of the run would be taken for classes of pictures.
void expect_run_beside_pictures(const train::RunConfig& config) {
  std::error_code unreadable;  // a folder above it; whoever opens it says so
  const auto run = std::filesystem::weakly_canonical(config.run_dir, unreadable);
  for (const std::string& pictures : {config.data.path, config.data.val_path}) {
    if (pictures.empty() || !config.data.indices.empty()) continue;
    const auto folder = std::filesystem::weakly_canonical(pictures, unreadable);
    if (folder.empty()) continue;
    const auto [end_of_folder, _] =
        std::mismatch(folder.begin(), folder.end(), run.begin(), run.end());
    if (end_of_folder != folder.end()) continue;
    fail("run_dir: ", config.run_dir, ": lies in the picture folder ", pictures,
         ", where its folders would count as classes; name a folder outside of it");
  }
}

/// The tokenizer that a user named, of the shape that a run has.
std::shared_ptr<models::Tokenizer> named_tokenizer(const PairOptions& options,
                                                   const train::RunConfig& config,
                                                   c10::Device device) {
  auto network = models::make_tokenizer(config.tokenizer);
  load_tokenizer_weights(*network, options.tokenizer, options.ema);
  freeze(*network, device);
  return network;
}

bool starts_anew(const train::RunConfig& config, const train::Resume& resume) {
  if (resume.mode != train::Resume::Mode::kAuto) return resume.mode == train::Resume::Mode::kNone;
  const std::filesystem::path run_dir = config.run_dir;
  return train::CheckpointStore(run_dir / "checkpoints", /*keep=*/1).list().empty();
}

/// The cores of this process among so many on the machine. A scheduler may have granted it some of
/// its own.
int64_t own_cores(int64_t processes) {
  const auto cores = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  cpu_set_t granted;
  CPU_ZERO(&granted);
  const bool known = sched_getaffinity(0, sizeof granted, &granted) == 0;
  return std::clamp<int64_t>(cores / processes, 1, known ? CPU_COUNT(&granted) : cores);
}

}  // namespace

ResolvedRun resolve_run(const std::string& config_path, const std::vector<std::string>& overrides,
                        const train::Resume& resume) {
  ResolvedRun run{.config = config::load<train::RunConfig>(config_path, overrides), .data = {}};
  take_split(run.config.data);
  if (run.config.data.val_path.empty()) run.config.output.eval_every = 0;  // nothing to measure on
  resolve_arithmetic(run.config);
  expect_inputs(run.config);
  expect_run_beside_pictures(run.config);
  if (starts_anew(run.config, resume)) expect_initial_weights(run.config);
  run.data = open_training_data(run.config);
  return run;
}

void resolve_arithmetic(train::RunConfig& config) {
  const auto device = resolve_device(config.device);
  if (config.precision == train::Precision::kAuto) {
    config.precision = has_bf16_units(device) ? train::Precision::kBf16 : train::Precision::kFp32;
  }
  const bool can_winograd = device.is_cpu() && ops::has_winograd();
  if (config.convolutions == train::Convolutions::kAuto) {
    config.convolutions =
        can_winograd ? train::Convolutions::kWinograd : train::Convolutions::kDirect;
  }
  if (config.convolutions == train::Convolutions::kWinograd && !can_winograd) {
    fail("convolutions: winograd needs a CPU with AVX2, got ", device_name(device),
         "; set convolutions: auto");
  }
}

void use_convolutions(train::Convolutions convolutions) {
  nn::set_conv_method(convolutions == train::Convolutions::kWinograd ? ops::ConvMethod::kWinograd
                                                                     : ops::ConvMethod::kDirect);
}

void use_threads(int64_t threads, int64_t processes) {
  at::set_num_threads(static_cast<int>(threads > 0 ? threads : own_cores(processes)));
}

LoadedPair load_pair(const std::string& path, const PairOptions& options) {
  const auto device = resolve_device(options.device);
  const bool ema = options.ema;
  if (!std::filesystem::exists(path)) fail(path, ": no such run folder or checkpoint");
  const auto checkpoint = train::find_checkpoint(path);
  if (!checkpoint) {
    fail(path,
         ": is neither a gear checkpoint nor a run folder with one; expected for example "
         "runs/NAME or runs/NAME/checkpoints/step-00001000");
  }
  LoadedPair pair;
  pair.config = config::load<train::RunConfig>(checkpoint->config_path());
  pair.step = checkpoint->position().step;

  const auto load = [&](torch::nn::Module& module, const std::vector<std::string>& groups) {
    const std::string group = first_group(*checkpoint, groups);
    const auto file = checkpoint->group_path(group);
    io::assign_weights(module, io::load_tensors(file), file.string());
    freeze(module, device);
  };
  // The recipe `ar` stores the one frozen tokenizer it used, under its plain name.
  const bool frozen_tokenizer = pair.config.recipe == train::RecipeKind::kAr;
  if (!options.tokenizer.empty()) {
    pair.networks.tokenizer = named_tokenizer(options, pair.config, device);
  } else if (frozen_tokenizer && !checkpoint->contains("tokenizer")) {
    fail(path,
         ": has no tokenizer, because the run learned stored indices; name the one that encoded "
         "them with --tokenizer");
  } else {
    pair.networks.tokenizer = models::make_tokenizer(pair.config.tokenizer);
    load(*pair.networks.tokenizer,
         {ema && !frozen_tokenizer ? std::string("tokenizer_ema") : std::string("tokenizer")});
  }
  if (pair.config.recipe != train::RecipeKind::kTokenizer) {
    pair.networks.ar = models::ArModel(pair.config.resolved_ar());
    load(*pair.networks.ar, {ema ? std::string("ar_ema") : std::string("ar")});
  } else if (options.need_transformer) {
    fail(path,
         ": was trained by the recipe tokenizer and has no transformer to sample from; train "
         "the recipe gear or ar first");
  }
  return pair;
}

void add_device_option(CLI::App& command, DeviceChoice& device) {
  const std::map<std::string, DeviceChoice> choices = {
      {"auto", DeviceChoice::kAuto}, {"cpu", DeviceChoice::kCpu}, {"cuda", DeviceChoice::kCuda}};
  command.add_option("--device", device, "auto (a GPU where CUDA finds one), cpu or cuda")
      ->transform(CLI::CheckedTransformer(choices))
      ->option_text("auto|cpu|cuda");
}

}  // namespace gear::cli
