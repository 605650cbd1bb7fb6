#include "cli/run_setup.h"

#include <ATen/Parallel.h>

#include <filesystem>
#include <thread>

#include "gear/core/text.h"
#include "gear/io/weights.h"
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

}  // namespace

ResolvedRun resolve_run(const std::string& config_path, const std::vector<std::string>& overrides) {
  ResolvedRun run{.config = config::load<train::RunConfig>(config_path, overrides), .images = nullptr};
  run.images = std::make_shared<data::ImageFolder>(run.config.data.path);
  const auto classes = static_cast<int64_t>(run.images->classes().size());
  if (run.config.data.num_classes == 0) run.config.data.num_classes = classes;
  if (classes > run.config.data.num_classes) {
    fail("data.num_classes: is ", run.config.data.num_classes, ", but ", run.config.data.path, " has ",
         classes, " class folders; raise it, or set it to 0 to take what is there");
  }
  return run;
}

void use_threads(int64_t threads) {
  const auto cores = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  at::set_num_threads(static_cast<int>(threads > 0 ? threads : cores));
}

LoadedPair load_pair(const std::string& path, bool ema, bool need_transformer) {
  if (!std::filesystem::exists(path)) fail(path, ": no such run folder or checkpoint");
  const auto checkpoint = train::find_checkpoint(path);
  if (!checkpoint) {
    fail(path, ": is neither a gear checkpoint nor a run folder with one; expected for example "
         "runs/NAME or runs/NAME/checkpoints/step-00001000");
  }
  LoadedPair pair;
  pair.config = config::load<train::RunConfig>(checkpoint->config_path());
  pair.step = checkpoint->position().step;

  const auto load = [&](torch::nn::Module& module, const std::vector<std::string>& groups) {
    const std::string group = first_group(*checkpoint, groups);
    const auto file = checkpoint->group_path(group);
    io::assign_weights(module, io::load_tensors(file), file.string());
    module.eval();
    for (auto& parameter : module.parameters()) parameter.requires_grad_(false);
  };
  // The recipe `ar` stores the one frozen tokenizer it used, under its plain name.
  const bool frozen_tokenizer = pair.config.recipe == train::RecipeKind::kAr;
  pair.networks.tokenizer = models::make_tokenizer(pair.config.tokenizer);
  load(*pair.networks.tokenizer,
       {ema && !frozen_tokenizer ? std::string("tokenizer_ema") : std::string("tokenizer")});
  if (pair.config.recipe != train::RecipeKind::kTokenizer) {
    pair.networks.ar = models::ArModel(pair.config.resolved_ar());
    load(*pair.networks.ar, {ema ? std::string("ar_ema") : std::string("ar")});
  } else if (need_transformer) {
    fail(path, ": was trained by the recipe tokenizer and has no transformer to sample from; train "
         "the recipe gear or ar first");
  }
  return pair;
}

}  // namespace gear::cli
