#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>

#include <CLI/App.hpp>
#include <cstdio>

#include "cli/commands.h"
#include "cli/report.h"
#include "cli/run_setup.h"
#include "gear/core/device.h"
#include "gear/core/log.h"
#include "gear/core/signals.h"
#include "gear/core/text.h"
#include "gear/data/held_out.h"
#include "gear/data/loader.h"
#include "gear/eval/reconstruction.h"
#include "gear/io/image.h"
#include "gear/sample/grid.h"
#include "gear/sample/sampler.h"
#include "gear/train/data_fingerprint.h"
#include "gear/train/memory_estimate.h"
#include "gear/train/recipe_factory.h"
#include "gear/train/trainer.h"

namespace gear::cli {
namespace {

struct TrainOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string resume = "auto";
  bool print_config = false;
};

/// Pictures for the reconstruction rows of the previews, spread over the whole set: uint8
/// [n, 3, S, S].
Tensor preview_inputs(const data::ImageFolder& images, const data::DataConfig& data,
                      int64_t count) {
  std::vector<Tensor> pictures;
  count = std::min(count, images.size());
  for (int64_t i = 0; i < count; ++i) {
    try {
      pictures.push_back(
          data::read_held_out(images.path((2 * i + 1) * images.size() / (2 * count)), data));
    } catch (const Error& error) {
      log::warn(std::string("left out of the previews: ") + error.what());
    }
  }
  if (pictures.empty()) fail(images.root().string(), ": no picture for the previews can be read");
  return at::stack(pictures);
}

/// Draws inputs, their reconstructions and, where there is a transformer, samples of the classes in
/// turn, one row each, with the averaged networks.
class Preview {
 public:
  Preview(const train::RunConfig& config, train::Recipe& recipe, Tensor inputs)
      : config_(config), recipe_(recipe), inputs_(std::move(inputs)) {}

  void operator()(int64_t /*step*/, const std::filesystem::path& path) {
    const at::NoGradGuard no_grad;
    const auto networks = recipe_.sampling_pair(/*ema=*/true);
    const auto reconstruction =
        networks.tokenizer->forward(models::to_signed_unit(inputs_)).reconstruction;
    std::vector<Tensor> rows = {inputs_.cpu(), models::to_uint8(reconstruction).cpu()};
    if (networks.ar) {
      const auto& output = config_.output;
      const auto labels =
          at::arange(inputs_.size(0), at::kLong).remainder(config_.data.num_classes);
      rows.push_back(sample::sample_images(*networks.tokenizer, networks.ar, labels,
                                           {.cfg = output.sample_cfg,
                                            .temperature = output.sample_temperature,
                                            .top_k = output.sample_top_k,
                                            .top_p = output.sample_top_p,
                                            .seed = static_cast<uint64_t>(config_.seed)},
                                           inputs_.size(0)));
    }
    io::write_png(path, sample::image_grid(at::cat(rows), inputs_.size(0)));
  }

 private:
  const train::RunConfig& config_;
  train::Recipe& recipe_;
  Tensor inputs_;
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
  log::info("data: " + format_count(run.images->size()) + " images in " +
            std::to_string(run.images->classes().size()) + " classes under " + config.data.path);
  if (config.data.val_path.empty()) {
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
                           .data = train::data_fingerprint(*run.images)});
  install_stop_signals();
  describe(run);
  auto built = train::make_recipe(
      config, folder.start() ? train::WeightSource::kCheckpoint : train::WeightSource::kInit);
  for (const std::string& notice : built.notices) log::info(notice);
  for (const std::string& warning : built.warnings) log::warn(warning);

  const data::LoaderShare share{
      .micro_batch_size = config.data.batch_size / config.optimizer.accumulation,
      .seed = static_cast<uint64_t>(config.seed)};
  data::Loader loader(run.images, config.data, share);
  train::LoaderSource source(loader, device);
  train::TrainerHooks hooks;
  if (config.output.preview_every > 0) {
    hooks.preview = Preview(config, *built.recipe,
                            preview_inputs(held_out ? *held_out : *run.images, config.data,
                                           config.output.preview_images)
                                .to(device));
  }
  std::optional<data::ValidationLoader> validation;
  if (config.output.eval_every > 0) {
    validation.emplace(held_out, config.data, share);
    hooks.evaluate = [&](int64_t) { return evaluate(config, *built.recipe, *validation); };
  }
  train::Trainer trainer(config, *built.recipe, source, folder, hooks);
  const auto outcome = trainer.run();
  write_report({config.run_dir}, {}, std::filesystem::path(config.run_dir) / "report.html");
  if (loader.bad_images() > 0) {
    log::warn(std::to_string(loader.bad_images()) +
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
  command->footer(
      "Exit codes: 0 finished, 2 a mistake in the input (one sentence), 75 stopped by SIGINT,\n"
      "SIGTERM or SIGUSR1 after writing a checkpoint (the same command resumes).\n"
      "Example: gear train configs/quickstart_tokenizer.yaml --set steps=500");
  command->callback([options, &exit_status] { exit_status = train_run(*options); });
}

}  // namespace gear::cli
