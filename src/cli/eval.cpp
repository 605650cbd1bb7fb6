#include <CLI/App.hpp>
#include <cstdio>

#include "cli/commands.h"
#include "cli/run_setup.h"
#include "gear/data/data_split.h"
#include "gear/data/loader.h"
#include "gear/eval/reconstruction.h"

namespace gear::cli {
namespace {

struct EvalCommand {
  std::string checkpoint;
  std::string data;
  int64_t batch = 32;
  int64_t images = 0;
  int64_t threads = 0;
  DeviceChoice device = DeviceChoice::kAuto;
  bool live = false;
};

/// val/ of a folder that holds train/ and val/; any other folder as it is.
std::string held_out_part(const std::string& folder) {
  const auto split = data::split_folder(folder);
  return split.held_out.empty() ? folder : split.held_out.string();
}

void eval_run(const EvalCommand& command) {
  use_threads(command.threads);
  const LoadedPair pair =
      load_pair(command.checkpoint, {.ema = !command.live, .device = command.device});
  data::DataConfig data = pair.config.data;
  const std::string path = command.data.empty() ? data.val_path : held_out_part(command.data);
  if (path.empty()) {
    fail("--data: the run has no data.val_path; name a folder of held-out pictures");
  }
  data::ValidationLoader loader(std::make_shared<data::ImageFolder>(path), data,
                                {.micro_batch_size = command.batch});
  const auto scores =
      eval::measure_reconstruction(*pair.networks.tokenizer, loader, command.images);
  std::printf(
      "reconstruction of %lld pictures of %s at %lld px (%s resize), %s weights of step %lld\n",
      static_cast<long long>(scores.images), path.c_str(), static_cast<long long>(data.image_size),
      config::detail::format(data.val_filter).c_str(), command.live ? "live" : "averaged",
      static_cast<long long>(pair.step));
  std::printf("  PSNR %.2f dB   SSIM %.4f   L1 %.4f\n", scores.psnr, scores.ssim, scores.l1);
  if (loader.bad_images() > 0) {
    std::printf("  %lld unreadable pictures were left out\n",
                static_cast<long long>(loader.bad_images()));
  }
}

}  // namespace

void add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalCommand>();
  CLI::App* command =
      app.add_subcommand("eval", "Measure the reconstruction of held-out pictures.");
  command->add_option("checkpoint", options->checkpoint, "Checkpoint or run folder")->required();
  command->add_option("--data", options->data,
                      "ImageFolder; the run's data.val_path when left out");
  command->add_option("--batch", options->batch, "Pictures at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--images", options->images, "At most this many; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--threads", options->threads, "Threads; 0: one per core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  add_device_option(*command, options->device);
  command->add_flag("--live", options->live, "Take the live weights instead of the averaged ones");
  command->footer("Example: gear eval runs/quickstart/joint --data data/emoji/val");
  command->callback([options] { eval_run(*options); });
}

}  // namespace gear::cli
