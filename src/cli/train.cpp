#include <CLI/App.hpp>
#include <chrono>
#include <cstdio>

#include "cli/commands.h"
#include "cli/launch.h"
#include "cli/preview.h"
#include "cli/report.h"
#include "cli/run_setup.h"
#include "gear/config/text.h"
#include "gear/core/device.h"
#include "gear/core/log.h"
#include "gear/core/signals.h"
#include "gear/core/text.h"
#include "gear/data/loader.h"
#include "gear/dist/placement.h"
#include "gear/dist/same_run.h"
#include "gear/dist/world.h"
#include "gear/eval/reconstruction.h"
#include "gear/train/plan.h"
#include "gear/train/recipe_factory.h"
#include "gear/train/sharding/parallel.h"
#include "gear/train/step_division.h"
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
                        data::ValidationLoader& loader, const dist::World& world) {
  const bool divided = config.parallel.shard != train::ShardMode::kNone;
  train::Metrics metrics;
  for (const bool ema : {false, true}) {
    const auto scores =
        eval::measure_reconstruction(*recipe.sampling_pair(ema).tokenizer, loader,
                                     config.output.eval_images, divided ? world : dist::World());
    const std::string prefix = ema ? "vq_val_ema/" : "vq_val/";
    metrics.add(prefix + "l1", scores.l1);
    metrics.add(prefix + "psnr", scores.psnr);
    metrics.add(prefix + "ssim", scores.ssim);
  }
  return metrics;
}

void describe(const ResolvedRun& run, const dist::World& world) {
  const auto& config = run.config;
  run.data.describe(config.data);
  if (run.data.images && config.data.val_path.empty()) {
    log::info(
        "held-out data: none (data.val_path is empty, and the folder that data.path names has no "
        "val/), so no PSNR is measured");
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
  if (world.is_single()) return;
  log::info(std::to_string(world.size()) + " ranks started by " + world.placement().launcher +
            ", parallel.shard " + config::detail::format(config.parallel.shard));
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

/// Where networks are divided all ranks must look at the same pictures, so each looks at all.
data::LoaderShare whole_set(data::LoaderShare share) {
  share.rank = 0;
  share.world_size = 1;
  return share;
}

/// The run of this process, which is one of the ranks of `world`.
int train_as_rank(const ResolvedRun& run, const train::Resume& resume, const dist::World& world) {
  const auto& config = run.config;
  auto facts = dist::program_facts(GEAR_VERSION);
  for (auto& fact : config::flat_keys(config::dump(config))) facts.push_back(std::move(fact));
  dist::expect_same_run(world, facts);
  const train::StepDivision division = train::divide_step(config, world.size());
  std::shared_ptr<const data::ImageFolder> held_out;
  if (!config.data.val_path.empty())
    held_out = std::make_shared<data::ImageFolder>(config.data.val_path);
  const auto device = resolve_device(config.device);
  const int64_t neighbours = world.placement().local_world_size;
  train::expect_enough_memory(config, train::plan_run(config, world.size(), neighbours),
                              available_memory(device) / (device.is_cpu() ? neighbours : 1));
  use_threads(config.threads, neighbours);
  use_convolutions(config.convolutions);

  const train::Parallel parallel = train::make_parallel(world, config.parallel);
  train::RunFolder folder({.path = config.run_dir,
                           .config_yaml = config::dump(config),
                           .resume = resume,
                           .keep_checkpoints = config.output.keep_checkpoints,
                           .data = run.data.fingerprint(),
                           .layout = train::save_layout(parallel)});
  install_stop_signals();
  describe(run, world);
  auto built = train::make_recipe(
      config, folder.start() ? train::WeightSource::kCheckpoint : train::WeightSource::kInit,
      parallel);
  for (const std::string& notice : built.notices) log::info(notice);
  if (world.is_first()) {
    for (const std::string& warning : built.warnings) log::warn(warning);
  }

  const data::LoaderShare share{.rank = world.rank(),
                                .world_size = world.size(),
                                .micro_batch_size = division.micro_batch_size,
                                .seed = static_cast<uint64_t>(config.seed)};
  const OpenedSource source = open_source(run.data, config.data, share, device);
  train::TrainerHooks hooks;
  hooks.preview = make_preview(run, held_out.get(), *built.recipe, device);
  std::optional<data::ValidationLoader> validation;
  if (config.output.eval_every > 0) {
    validation.emplace(held_out, config.data, whole_set(share));
    hooks.evaluate = [&](int64_t) { return evaluate(config, *built.recipe, *validation, world); };
  }
  const bool resumed = folder.start().has_value();
  if (!resumed) expect_own_indices(run.data, *built.recipe);
  train::Trainer trainer(config, *built.recipe, *source.batches, folder, hooks);
  if (resumed) expect_own_indices(run.data, *built.recipe);  // the weights are there only now
  const auto outcome = trainer.run();
  if (world.is_first()) {
    write_report({config.run_dir}, {}, std::filesystem::path(config.run_dir) / "report.html");
  }
  if (source.bad_images() > 0) {
    log::warn(std::to_string(source.bad_images()) +
              " unreadable images were skipped (named above)");
  }
  return outcome == train::TrainOutcome::kFinished ? exit_code::kSuccess : exit_code::kInterrupted;
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
    const auto config = config::load<train::RunConfig>(options.config, options.overrides);
    return launch_ranks(options.launch, [&](int64_t ranks) { train::divide_step(config, ranks); });
  }
  const dist::Placement place = dist::placement_from_environment();
  if (place.rank > 0) log::set_quiet(true);
  if (!place.notice.empty()) log::warn(place.notice);
  use_gpu(place.local_rank);
  const ResolvedRun run = resolve_run(options.config, options.overrides, resume);
  const dist::World world =
      dist::connect(place, {.device = resolve_device(run.config.device),
                            .timeout = std::chrono::seconds(run.config.parallel.timeout_seconds)});
  try {
    return train_as_rank(run, resume, world);
  } catch (const std::exception& error) {
    world.fail_others(error.what());
    throw;
  }
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
