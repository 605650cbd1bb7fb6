#include "cli/inspect.h"

#include <CLI/App.hpp>
#include <memory>

#include "cli/commands.h"
#include "gear/core/error.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;

void inspect(const InspectOptions& options) {
  const fs::path path = options.path;
  if (options.path.empty()) {
    fail(
        "inspect: needs the path of a run folder, a checkpoint folder or a weight file, or --diff "
        "and two of them");
  }
  if (!fs::exists(path)) {
    fail(options.path,
         ": no such file or folder; expected a run folder, a checkpoint folder or a "
         "weight file");
  }
  if (is_checkpoint(path)) {
    inspect_checkpoint(options);
  } else if (is_run(path)) {
    inspect_run(options);
  } else {
    inspect_weights(options);
  }
}

void add_flags(CLI::App& command, InspectOptions& options) {
  command.add_flag("--tensors", options.tensors,
                   "List every tensor with type and shape, however many");
  command.add_option("--match", options.match, "List the tensors with this text in their name");
  command.add_option("--part", options.part,
                     "Look at this part alone: a key of a torch file (vq_ema), a group of a "
                     "checkpoint (tokenizer)");
  command.add_flag("!--no-values", options.values,
                   "Do not read the values: no count of NaN, no checksums, quick on huge files");
  command.add_flag("--hash", options.hash, "SHA-256 of the files");
  command.add_flag("--verbose", options.verbose,
                   "Also the settings that a file keeps, such as args and hyper_parameters");
  command.add_flag("--json", options.json, "Print JSON");
}

}  // namespace

void add_inspect_command(CLI::App& app, int& exit_status) {
  auto options = std::make_shared<InspectOptions>();
  auto pair = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Tell what is in a run folder, a checkpoint or a weight file, or compare two.");
  CLI::Option* path = command->add_option(
      "path", options->path,
      "Run folder, checkpoint folder, .safetensors, .pt, .pth, .ckpt or .bin, or a folder with one, "
      "or with a folder for each network");
  command
      ->add_option("--diff", *pair,
                   "Compare two of these instead, each PATH or PATH#PART; the exit code is 0 when "
                   "they hold the same tensors, 1 when not, 2 when one cannot be read")
      ->expected(2)
      ->excludes(path);
  add_flags(*command, *options);
  command->footer(
      "Checksums of a checkpoint are verified; a damaged one is named and the exit code is 2.\n"
      "Example: gear inspect runs/quickstart/joint --match quantize");
  command->callback([options, pair, &exit_status] {
    if (pair->empty()) return inspect(*options);
    exit_status = inspect_difference(pair->at(0), pair->at(1), *options);
  });
}

}  // namespace gear::cli
