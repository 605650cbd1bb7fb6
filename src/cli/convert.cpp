#include "cli/convert.h"

#include <CLI/App.hpp>
#include <algorithm>
#include <cstdio>

#include "cli/commands.h"
#include "cli/print.h"
#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/train/network_parts.h"

namespace gear::cli {
namespace {

/// Names of a note that are shown without --verbose.
constexpr size_t kMostNames = 20;

void print_groups(const train::StoredRun& run) {
  for (const train::TensorGroup& group : run.groups) {
    int64_t values = 0;
    double bytes = 0.0;
    for (const auto& [name, tensor] : group.tensors) {
      values += tensor.numel();
      bytes += static_cast<double>(tensor.nbytes());
    }
    std::printf("  %-26s %6zu tensors %16s values %10s\n", printable(group.name).c_str(),
                group.tensors.size(), format_count(values).c_str(), format_bytes(bytes).c_str());
  }
  std::fflush(stdout);
}

void print_note(const ConvertNote& note, bool verbose) {
  if (note.names.empty()) {
    print_line("  ", note.text);
    return;
  }
  std::vector<std::string> names = note.names;
  if (!verbose && names.size() > kMostNames) {
    names.resize(kMostNames);
    names.push_back("... (--verbose lists all)");
  }
  print_line("  ", note.text, " ", note.names.size(),
             note.names.size() == 1 ? " tensor: " : " tensors: ", printable(join(names)));
}

void convert(const ConvertOptions& options) {
  if (!options.names && options.target.empty()) {
    fail("gear convert: expected a target after ", options.source,
         ": a run folder, a .safetensors or a .pt");
  }
  std::string format;
  if (!options.names) {
    format = target_format(options);
    expect_free_target(options, format);  // before the work of reading
  }
  ConvertSource source = read_source(options);
  if (options.names) {
    print_line(expected_names(source.run));
    return;
  }
  print_line(options.source, ": step ", format_count(source.run.position.step), ", recipe ",
             config::detail::format(source.run.config.recipe));
  print_groups(source.run);
  write_target(std::move(source.run), options, format, source.notes);
  for (const ConvertNote& note : source.notes) print_note(note, options.verbose);
  print_line("wrote ", options.target);
}

}  // namespace

void add_convert_command(CLI::App& app) {
  auto options = std::make_shared<ConvertOptions>();
  CLI::App* command = app.add_subcommand(
      "convert", "Turn a run, a safetensors model or a .pt of the Python reference into another.");
  command
      ->add_option("source", options->source,
                   "Run folder, checkpoint folder, .pt, .pth, .ckpt, .safetensors, or a folder of "
                   "safetensors")
      ->required();
  command->add_option("target", options->target,
                      "Run folder, .pt (the layout of the Python reference) or .safetensors");
  command->add_option("--to", options->format, "Format of the target; default: by its extension")
      ->check(CLI::IsMember({"run", "safetensors", "pt"}));
  command->add_option("--part", options->parts, "Take this network alone (can be repeated)")
      ->allow_extra_args(false)
      ->check(CLI::IsMember(train::network_groups()));
  command->add_option("--config", options->config,
                      "Configuration of the networks, for sources that do not tell it");
  command->add_option("--set", options->overrides, "Override a key of it: --set data.path=pictures")
      ->allow_extra_args(false);
  command->add_option("--tokenizer", options->tokenizer,
                      "Take the frozen tokenizer from here, for files of stage 2, which have none");
  command
      ->add_option(
          "--max-shard-size", options->max_shard_size,
          "Divide safetensors into files of at most this size (2GB, 500MB); needs a folder "
          "for a target")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->option_text("SIZE");
  command->add_flag("--force", options->force, "Replace a target that exists");
  command->add_flag("--names", options->names,
                    "Print the expected names, shapes and types as JSON; write nothing");
  command->add_flag("--verbose", options->verbose, "List every ignored name");
  command->footer(
      "Example: gear convert runs/quickstart/joint joint.pt\n"
      "Example: gear convert gear-vq.pt runs/gear-vq --config configs/imagenet256/stage1_vq16_b.yaml");
  command->callback([options] { convert(*options); });
}

}  // namespace gear::cli
