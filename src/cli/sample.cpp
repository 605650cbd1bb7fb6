#include <ATen/ops/tensor.h>

#include <CLI/App.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "cli/run_setup.h"
#include "cli/weight_format.h"
#include "cli/writable.h"
#include "gear/core/clock.h"
#include "gear/core/log.h"
#include "gear/core/progress.h"
#include "gear/core/text.h"
#include "gear/io/image.h"
#include "gear/io/npz.h"
#include "gear/sample/grid.h"
#include "gear/sample/sampler.h"

namespace gear::cli {
namespace {

struct SampleCommand {
  std::string checkpoint;
  std::string tokenizer;
  std::vector<int64_t> classes;
  int64_t per_class = 8;
  int64_t batch = 32;
  int64_t threads = 0;
  DeviceChoice device = DeviceChoice::kAuto;
  std::string out = "samples";
  bool live = false;
  std::string weights = "fp32";
  sample::SampleOptions options{.cfg = 1.0};
  int64_t seed = 0;
};

std::vector<int64_t> repeated_labels(const SampleCommand& command, int64_t num_classes) {
  std::vector<int64_t> classes = command.classes;
  if (classes.empty()) {
    for (int64_t i = 0; i < num_classes; ++i) classes.push_back(i);
  }
  std::vector<int64_t> labels;
  for (const int64_t label : classes) {
    if (label < 0 || label >= num_classes) {
      fail("--classes: ", label, " is not a class of this model; expected 0 to ", num_classes - 1);
    }
    labels.insert(labels.end(), static_cast<size_t>(command.per_class), label);
  }
  return labels;
}

std::string picture_name(int64_t index) {
  char name[32];
  std::snprintf(name, sizeof name, "%06lld.png", static_cast<long long>(index));
  return name;
}

/// Numbered pictures of an earlier, larger draw must not be taken for pictures of this one.
void remove_pictures_from(const std::filesystem::path& out, int64_t first) {
  for (int64_t i = first; std::filesystem::remove(out / picture_name(i)); ++i) {
  }
}

void write_pictures(const std::filesystem::path& out, const Tensor& pictures,
                    const std::vector<int64_t>& labels, const io::PngText& text, int64_t columns) {
  for (int64_t i = 0; i < pictures.size(0); ++i) {
    io::PngText own = text;
    own["class"] = std::to_string(labels[static_cast<size_t>(i)]);
    io::write_png(out / picture_name(i), pictures[i], own);
  }
  remove_pictures_from(out, pictures.size(0));
  io::write_png(out / "grid.png", sample::image_grid(pictures, columns), text);
  io::write_samples_npz(out / "samples.npz", pictures);
}

void sample_run(SampleCommand command) {
  use_threads(command.threads);
  const auto format = weight_format(command.weights);
  command.options.seed = static_cast<uint64_t>(command.seed);
  expect_writable_folder(command.out);
  const LoadedPair pair = load_pair(command.checkpoint, {.ema = !command.live,
                                                         .need_transformer = true,
                                                         .tokenizer = command.tokenizer,
                                                         .device = command.device});
  const auto labels = repeated_labels(command, pair.config.data.num_classes);

  ProgressLine progress;
  const Stopwatch watch;
  const auto pictures = sample::sample_images(
      *pair.networks.tokenizer, {pair.networks.ar, format}, at::tensor(labels, at::kLong),
      command.options, command.batch, [&](int64_t done, int64_t total) {
        progress.show("sampled " + std::to_string(done) + " of " + std::to_string(total));
      });
  const io::PngText text = {
      {"Software", "gear"},
      {"checkpoint step", std::to_string(pair.step)},
      {"seed", std::to_string(command.seed)},
      {"cfg", config::detail::format(command.options.cfg)},
      {"temperature", config::detail::format(command.options.temperature)},
      {"top_k", std::to_string(command.options.top_k)},
      {"top_p", config::detail::format(command.options.top_p)},
      {"weights", command.weights},
  };
  const int64_t columns = command.per_class > 1
                              ? command.per_class
                              : static_cast<int64_t>(std::ceil(std::sqrt(labels.size())));
  write_pictures(command.out, pictures, labels, text, columns);
  progress.finish("sampled " + std::to_string(labels.size()) + " pictures in " +
                  format_duration(watch.seconds()) + " (step " + std::to_string(pair.step) +
                  (command.live ? ", live" : ", averaged") + " weights in " + command.weights +
                  ")");
  std::printf("%s\n", (std::filesystem::path(command.out) / "grid.png").c_str());
}

/// CLI11 would take an empty text for the number 0.
CLI::Validator class_number() {
  return {[](std::string& text) {
            const bool number =
                !text.empty() && text.find_first_not_of("-0123456789") == std::string::npos;
            return number ? std::string() : "expected numbers such as 2,6, got \"" + text + "\"";
          },
          "INT,..."};
}

}  // namespace

void add_sample_command(CLI::App& app) {
  auto options = std::make_shared<SampleCommand>();
  CLI::App* command = app.add_subcommand(
      "sample", "Draw pictures from a checkpoint: a grid, single PNGs and an npz.");
  command->add_option("checkpoint", options->checkpoint, "Checkpoint or run folder")->required();
  command
      ->add_option("--classes", options->classes, "Class numbers, as in 1,5,9; all when left out")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(class_number());
  command->add_option(
      "--tokenizer", options->tokenizer,
      "Run, checkpoint or weight file with the tokenizer; the checkpoint's own when "
      "left out");
  command->add_option("--per-class", options->per_class, "Pictures of each class")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--cfg", options->options.cfg, "Guidance scale; 1 or less: none")
      ->capture_default_str();
  command
      ->add_option("--cfg-interval", options->options.cfg_interval,
                   "n: guide only tokens 0 to n + 1; -1: all")
      ->capture_default_str();
  command->add_option("--temperature", options->options.temperature, "Softmax temperature")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1000.0));
  command->add_option("--top-k", options->options.top_k, "Keep the k likeliest codes; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", options->options.top_p, "Keep the likeliest codes up to this mass")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", options->seed, "The same seed gives the same pictures")
      ->capture_default_str();
  command->add_option("--out", options->out, "Folder for the pictures")->capture_default_str();
  command->add_option("--batch", options->batch, "Pictures drawn at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--threads", options->threads, "Threads; 0: one per core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  add_device_option(*command, options->device);
  command->add_flag("--live", options->live, "Take the live weights instead of the averaged ones");
  command
      ->add_option("--weights", options->weights,
                   "The transformer's weights while drawing: fp32 (exact), bf16 or int8 (rounded; "
                   "half and a quarter of the bytes, so faster)")
      ->option_text("fp32|bf16|int8");
  command->footer(
      "Example: gear sample runs/quickstart/ar --classes 2,6 --per-class 8 --cfg 2 --out samples");
  command->callback([options] { sample_run(*options); });
}

}  // namespace gear::cli
