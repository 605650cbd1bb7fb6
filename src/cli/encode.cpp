#include <CLI/App.hpp>
#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "cli/load_tokenizer.h"
#include "cli/run_setup.h"
#include "cli/writable.h"
#include "gear/core/clock.h"
#include "gear/core/log.h"
#include "gear/core/progress.h"
#include "gear/core/text.h"
#include "gear/data/data_split.h"
#include "gear/train/encode_set.h"

namespace gear::cli {
namespace {

struct EncodeCommand {
  std::string checkpoint;
  TokenizerOptions tokenizer{};
  std::string data;
  std::string out;
  int64_t image_size = 0;
  int64_t shard_size = train::EncodeOptions{}.file_size;
  int64_t batch = 32;
  int64_t threads = 0;
  bool flip = false;
  bool live = false;
};

void encode_run(EncodeCommand command) {
  use_threads(command.threads);
  const std::filesystem::path out = std::filesystem::absolute(command.out);
  expect_writable_folder(out.extension() == ".safetensors" ? out.parent_path() : out);
  command.tokenizer.ema = !command.live;
  const LoadedTokenizer tokenizer = load_tokenizer(command.checkpoint, command.tokenizer);
  ProgressLine progress;
  const Stopwatch watch;
  train::EncodeOptions options{.out = command.out,
                               .data = tokenizer.config.data,
                               .file_size = command.shard_size,
                               .batch = command.batch,
                               .mirrored = command.flip};
  if (command.image_size > 0) options.data.image_size = command.image_size;
  options.progress = [&](int64_t done, int64_t total) {
    progress.show("encoded " + format_count(done) + " of " + format_count(total));
  };
  log::info("tokenizer: " + tokenizer.from);
  const auto folder = data::split_folder(command.data).train;  // of train/ and val/
  const auto summary = train::encode_set(
      *tokenizer.network, std::make_shared<const data::ImageFolder>(folder), options);
  const std::string kept =
      summary.kept == 0 ? ""
                        : ", " + format_count(summary.kept) + " of its files were there already";
  progress.finish("encoded " + format_count(summary.pictures) + " pictures in " +
                  format_duration(watch.seconds()) + kept);
  if (summary.unreadable > 0) {
    log::warn(format_count(summary.unreadable) +
              " unreadable pictures were left out (named above)");
  }
  std::printf("%s\n", command.out.c_str());
}

void add_options(CLI::App& app, EncodeCommand& command) {
  app.add_option("checkpoint", command.checkpoint, "Run folder, checkpoint, or weight file")
      ->required();
  app.add_option("--data", command.data, "ImageFolder: one folder of pictures per class")
      ->required();
  app.add_option("--out", command.out,
                 "NAME.safetensors, or a folder for files of --shard-size pictures")
      ->required();
  app.add_option("--config", command.tokenizer.config,
                 "Configuration with the tokenizer of a weight file; a run has its own");
  app.add_option("--set", command.tokenizer.overrides, "Override one of its keys; repeatable")
      ->allow_extra_args(false);
  app.add_option("--image-size", command.image_size,
                 "Side of the centre crop in pixels; 0: data.image_size")
      ->capture_default_str()
      ->check(CLI::Range(0, 8192));
  app.add_flag("--flip", command.flip, "Also store the mirrored pictures, for data.random_flip");
  app.add_option("--shard-size", command.shard_size, "Pictures per file of a folder")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000'000));
  app.add_option("--batch", command.batch, "Pictures at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--threads", command.threads, "Threads; 0: one per core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  add_device_option(app, command.tokenizer.device);
  app.add_flag("--live", command.live, "Take the live weights instead of the averaged ones");
}

}  // namespace

void add_encode_command(CLI::App& app) {
  auto options = std::make_shared<EncodeCommand>();
  CLI::App* command = app.add_subcommand(
      "encode", "Encode a folder of pictures to the indices that recipe ar learns.");
  add_options(*command, *options);
  command->footer(
      "A file is whole or absent; the same command goes on where it was stopped.\n"
      "Example: gear encode runs/quickstart/joint --data data/emoji/train --out emoji.safetensors\n"
      "         gear train configs/quickstart_ar.yaml --set data.indices=emoji.safetensors \\\n"
      "              --set loss.repa=false");
  command->callback([options] { encode_run(*options); });
}

}  // namespace gear::cli
