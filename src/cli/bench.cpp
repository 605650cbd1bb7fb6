#include "cli/bench.h"

#include <ATen/Parallel.h>

#include <CLI/App.hpp>
#include <functional>
#include <memory>

#include "cli/commands.h"
#include "cli/launch.h"

namespace gear::cli {
namespace {

struct CommonOptions {
  int threads = 0;
  std::string json;
};

const CLI::Range kCount(int64_t{1}, int64_t{1} << 32);

void add_count(CLI::App& command, const char* name, int64_t& value, const char* help) {
  command.add_option(name, value, help)->check(kCount)->capture_default_str();
}

/// Also for a measurement that sets the threads of its configuration.
template <class Options>
void take_threads(Options& options, int threads) {
  at::set_num_threads(threads);
  if constexpr (requires { options.overrides; }) {
    options.overrides.push_back("threads=" + std::to_string(threads));
  }
}

/// Adds what all measurements have; returns what makes one and presents it.
template <class Options>
std::function<void()> measuring(CLI::App& command, const std::shared_ptr<Options>& options,
                                BenchReport (*run)(const Options&)) {
  const auto common = std::make_shared<CommonOptions>();
  add_count(command, "--rounds", options->rounds, "Times that everything is run");
  command.add_option("--threads", common->threads, "Threads; 0: one per core")
      ->check(CLI::Range(0, 4096));
  command.add_option("--json", common->json, "Also write the figures to this file");
  return [options, common, run] {
    if (common->threads > 0) take_threads(*options, common->threads);
    const Machine machine = describe_machine();
    const BenchReport report = run(*options);
    if (!report.measurements.empty()) present(report, machine, common->json);  // else another rank
  };
}

/// Runs the measurement of a subcommand when it is chosen.
template <class Options>
void finish(CLI::App& command, const std::shared_ptr<Options>& options,
            BenchReport (*run)(const Options&)) {
  command.callback(measuring(command, options, run));
}

template <class Options>
void add_sizes(CLI::App& command, Options& options) {
  add_count(command, "--tokens", options.tokens, "Tokens: images times tokens per image");
  add_count(command, "--codes", options.codes, "Codes of the codebook");
  add_count(command, "--dim", options.dim, "Width of the transformer");
  command.add_flag("--bf16", options.bfloat16, "Also with matrix products in bfloat16");
}

void add_readout(CLI::App& bench) {
  const auto options = std::make_shared<ReadoutBench>();
  auto* command = bench.add_subcommand("readout", "Soft and hard read-out of the codebook");
  add_sizes(*command, *options);
  command->add_flag("--skip-dense", options->skip_dense,
                    "Leave out the formula that holds all costs at once");
  finish(*command, options, bench_readout);
}

void add_loss(CLI::App& bench) {
  const auto options = std::make_shared<LossBench>();
  auto* command =
      bench.add_subcommand("loss", "Cross-entropy over the vocabulary with its output layer");
  add_sizes(*command, *options);
  finish(*command, options, bench_loss);
}

template <class Options>
void add_config(CLI::App& command, Options& options) {
  command.add_option("config", options.config, "Configuration of a run")->required();
  command.add_option("--set", options.overrides, "Change a key, as for gear train")
      ->type_name("KEY=VALUE");
}

void add_step(CLI::App& bench) {
  const auto options = std::make_shared<StepBench>();
  auto* command = bench.add_subcommand("step", "A whole training step, on random pictures");
  add_config(*command, *options);
  finish(*command, options, bench_step);
}

void add_sample(CLI::App& bench) {
  const auto options = std::make_shared<SampleBench>();
  auto* command = bench.add_subcommand("sample", "Decoding of tokens, one after the other");
  add_config(*command, *options);
  add_count(*command, "--batch", options->batch, "Images at a time");
  command->add_option("--cfg", options->cfg, "Guidance; 1: none")->capture_default_str();
  command->add_option("--top-k", options->top_k, "Keep the k likeliest codes; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--weights", options->weights, "Formats of the weights; all when left out")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->option_text("fp32,bf16,int8");
  command->add_flag("--skip-plain", options->skip_plain,
                    "Leave out decoding with the network's own layers");
  finish(*command, options, bench_sample);
}

void add_loader(CLI::App& bench) {
  const auto options = std::make_shared<LoaderBench>();
  auto* command = bench.add_subcommand("loader", "Reading, cropping and flipping of pictures");
  command->add_option("data", options->data, "Folder with one sub-folder per class")->required();
  add_count(*command, "--image-size", options->image_size, "Side of the crops");
  add_count(*command, "--batch", options->batch, "Images at a time");
  add_count(*command, "--workers", options->workers, "Threads that read");
  command->add_option("--cache-mb", options->cache_mb, "Memory for decoded pictures, in MiB")
      ->check(CLI::Range(int64_t{0}, int64_t{10'000'000}))
      ->capture_default_str();
  finish(*command, options, bench_loader);
}

void add_checkpoint(CLI::App& bench, int& exit_status) {
  const auto options = std::make_shared<CheckpointBench>();
  const auto launch = std::make_shared<LaunchArguments>();
  auto* command = bench.add_subcommand("checkpoint", "How long saving keeps the steps waiting");
  add_config(*command, *options);
  command->add_option("--folder", options->folder,
                      "Where to write; without it, the folder for temporary files");
  add_launch_options(*command, *launch);
  command->callback(
      [launch, measure = measuring(*command, options, bench_checkpoint), &exit_status] {
        if (is_launcher(*launch)) {
          exit_status = launch_ranks(*launch, [](int64_t) {});
        } else {
          measure();
        }
      });
}

}  // namespace

void add_bench_command(CLI::App& app, int& exit_status) {
  CLI::App* bench = app.add_subcommand(
      "bench", "Time the parts of a training run beside what this machine can do.");
  bench->require_subcommand(1);
  add_readout(*bench);
  add_loss(*bench);
  add_step(*bench);
  add_sample(*bench);
  add_loader(*bench);
  add_checkpoint(*bench, exit_status);
  bench->footer(
      "Contenders run in turn in one process; figures of a busy machine are marked.\n"
      "Example: gear bench readout --tokens 2048 --codes 16384 --dim 768 --json readout.json");
}

}  // namespace gear::cli
