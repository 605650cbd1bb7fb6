#include <CLI/App.hpp>
#include <cstdio>

#include "cli/commands.h"
#include "cli/launch.h"
#include "cli/preview.h"
#include "cli/report.h"
#include "cli/run_setup.h"
#include "gear/core/device.h"
#include "gear/core/log.h"
#include "gear/core/signals.h"
#include "gear/core/text.h"
#include "gear/data/loader.h"
#include "gear/eval/reconstruction.h"
#include "gear/train/memory_estimate.h"
#include "gear/train/recipe_factory.h"
#include "gear/train/stored_indices.h"
#include "gear/train/trainer.h"

namespace gear::cli {
namespace {

struct TrainOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string resume = "auto";
  bool print_config = false;
  LaunchArguments launch;
};

/// Reconstruction scores on the held-out set, live and averaged.
train::Metrics evaluate(const train::RunConfig& config, train::Recipe& recipe,
                        data::ValidationLoader& loader) {
  train::Metrics metrics;
  for (const bool ema : {false, true}) {
    const auto scores = eval::measure_reconstruction(*recipe.sampling_pair(ema).tokenizer, loader,
                                                     config.output.eval_images);
    const std::string prefix = ema ? "vq_val_ema/" : "vq_val/";
    metrics.add(prefix + "l1", scores.l1);
    metrics.add(prefix + "psnr", scores.psnr);
    metrics.add(prefix + "ssim", scores.ssim);
  }
  return metrics;
}

void describe(const ResolvedRun& run) {
  const auto& config = run.config;
  run.data.describe(config.data);
  if (run.data.images && config.data.val_path.empty()) {
    log::info(
        "held-out data: none (no data.val_path, no val/ beside train/), so no PSNR is measured");
  }
  const auto device = resolve_device(config.device);
  if (config.precision == train::Precision::kBf16 && !has_bf16_units(device)) {
    log::warn("precision: bf16 is emulated on this " + device_name(device) +
              ", up to a hundred times slower than fp32; set precision: auto");
  }
  log::info("tokens: " + std::to_string(config.grid()) + " x " + std::to_string(config.grid()) +
            " of " + format_count(config.tokenizer.quantizer.codebook_size) + " codes; " +
            device_name(device) + ", " + std::to_string(at::get_num_threads()) + " threads, " +
            config::detail::format(config.precision));
}

/// Fails when the run knows its tokenizer and stored indices come from another one.
void expect_own_indices(const TrainingData& data, train::Recipe& recipe) {
  const auto tokenizer = recipe.sampling_pair(/*ema=*/true).tokenizer;
  if (data.indices && tokenizer) train::expect_indices_of(*data.indices, *tokenizer);
}

/// The configuration of a file, or the defaults where none is named.
void print_config(const TrainOptions& options) {
  const auto config = options.config.empty()
                          ? train::RunConfig()
                          : config::load<train::RunConfig>(options.config, options.overrides);
  std::fputs(config::dump(config).c_str(), stdout);
}

int train_run(const TrainOptions& options) {
  const bool defaults_alone = options.print_config && options.overrides.empty();
  if (options.config.empty() && !defaults_alone) throw CLI::RequiredError("config");
  if (options.print_config) {
    print_config(options);
    return exit_code::kSuccess;
  }
  const auto resume = train::Resume::parse(options.resume);
  if (is_launcher(options.launch)) {
    config::load<train::RunConfig>(options.config, options.overrides);  // not an error a rank
    return launch_ranks(options.launch);
  }
  const ResolvedRun run = resolve_run(options.config, options.overrides, resume);
  const auto& config = run.config;
  std::shared_ptr<const data::ImageFolder> held_out;
  if (!config.data.val_path.empty())
    held_out = std::make_shared<data::ImageFolder>(config.data.val_path);
  const auto device = resolve_device(config.device);
  train::expect_enough_memory(config, available_memory(device));
  use_threads(config.threads);

  train::RunFolder folder({.path = config.run_dir,
                           .config_yaml = config::dump(config),
                           .resume = resume,
                           .keep_checkpoints = config.output.keep_checkpoints,
                           .data = run.data.fingerprint()});
  install_stop_signals();
  describe(run);
  auto built = train::make_recipe(
      config, folder.start() ? train::WeightSource::kCheckpoint : train::WeightSource::kInit);
  for (const std::string& notice : built.notices) log::info(notice);
  for (const std::string& warning : built.warnings) log::warn(warning);

  const data::LoaderShare share{
      .micro_batch_size = config.data.batch_size / config.optimizer.accumulation,
      .seed = static_cast<uint64_t>(config.seed)};
  const OpenedSource source = open_source(run.data, config.data, share, device);
  train::TrainerHooks hooks;
  hooks.preview = make_preview(run, held_out.get(), *built.recipe, device);
  std::optional<data::ValidationLoader> validation;
  if (config.output.eval_every > 0) {
    validation.emplace(held_out, config.data, share);
    hooks.evaluate = [&](int64_t) { return evaluate(config, *built.recipe, *validation); };
  }
  const bool resumed = folder.start().has_value();
  if (!resumed) expect_own_indices(run.data, *built.recipe);
  train::Trainer trainer(config, *built.recipe, *source.batches, folder, hooks);
  if (resumed) expect_own_indices(run.data, *built.recipe);  // the weights are there only now
  const auto outcome = trainer.run();
  write_report({config.run_dir}, {}, std::filesystem::path(config.run_dir) / "report.html");
  if (source.bad_images() > 0) {
    log::warn(std::to_string(source.bad_images()) +
              " unreadable images were skipped (named above)");
  }
  return outcome == train::TrainOutcome::kFinished ? exit_code::kSuccess : exit_code::kInterrupted;
}

}  // namespace

void add_train_command(CLI::App& app, int& exit_status) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command =
      app.add_subcommand("train", "Train: tokenizer, both jointly, or the transformer.");
  command->add_option("config", options->config,
                      "Configuration (YAML); --print-config without one prints the defaults");
  command
      ->add_option("--set", options->overrides,
                   "Override a key, as in --set ar.depth=12; repeatable")
      ->allow_extra_args(false);
  command
      ->add_option("--resume", options->resume,
                   "auto: go on where the run stopped; none: start; PATH: from this checkpoint")
      ->capture_default_str();
  command->add_flag("--print-config", options->print_config,
                    "Print the whole configuration with help as comments, and stop");
  add_launch_options(*command, options->launch);
  command->footer(
      "Exit codes: 0 finished, 2 a mistake in the input (one sentence), 75 stopped by SIGINT,\n"
      "SIGTERM or SIGUSR1 after writing a checkpoint (the same command resumes), 69 another rank\n"
      "is missing, has ended or hangs (it is named).\n"
      "Example: gear train configs/quickstart_tokenizer.yaml --set steps=500");
  command->callback([options, &exit_status] { exit_status = train_run(*options); });
}

}  // namespace gear::cli
