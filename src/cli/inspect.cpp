#include <CLI/App.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/tensor_list.h"
#include "gear/core/tensor.h"
#include "gear/core/text.h"
#include "gear/io/safetensors.h"
#include "gear/train/checkpoint.h"
#include "gear/train/run_config.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;

/// A weight file with at most so many tensors lists them without being asked.
constexpr size_t kMostListedUnasked = 500;

struct InspectOptions {
  std::string path;
  bool tensors = false;
  std::string match;

  bool listing() const { return tensors || !match.empty(); }
};

std::string size_text(int64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

void print_table(const std::vector<TensorList>& lists) {
  std::printf("  %-26s %8s %16s %10s  %-10s %s\n", "part", "tensors", "values", "size", "dtypes",
              "looks like");
  for (const TensorList& list : lists) {
    std::printf("  %-26s %8zu %16s %10s  %-10s %s\n", list.name.empty() ? "-" : list.name.c_str(),
                list.entries.size(), format_count(list.numel()).c_str(),
                size_text(list.bytes()).c_str(), list.dtypes().c_str(),
                guess_network(list).c_str());
  }
}

/// Names, types and shapes, or how to get them; throws Error when --match fits no name.
void print_tensors(const std::vector<TensorList>& lists, const InspectOptions& options,
                   bool unasked) {
  if (!unasked && !options.listing()) {
    print_line("  --tensors lists the names and shapes of all tensors, --match TEXT of some");
    return;
  }
  size_t shown = 0;
  for (const TensorList& list : lists) {
    const std::string prefix = list.name.empty() ? "" : list.name + "/";
    for (const TensorEntry& entry : list.entries) {
      const std::string name = prefix + entry.name;
      if (name.find(options.match) == std::string::npos) continue;
      std::printf("  %-64s %-6s %s\n", name.c_str(),
                  io::safetensors_dtype_name(entry.dtype).c_str(),
                  sizes_string(entry.shape).c_str());
      ++shown;
    }
  }
  std::fflush(stdout);
  if (shown > 0 || options.match.empty()) return;
  fail("--match ", options.match, ": no tensor of ", options.path, " has this in its name");
}

void inspect_weights(const InspectOptions& options) {
  const WeightFile file = list_tensors(options.path);
  TensorList all;
  for (const TensorList& list : file.lists) {
    all.entries.insert(all.entries.end(), list.entries.begin(), list.entries.end());
  }
  print_line(options.path, ": ", file.format, ", ", all.entries.size(), " tensors, ",
             format_count(all.numel()), " values (", all.dtypes(), "), ", size_text(all.bytes()));
  print_table(file.lists);
  print_tensors(file.lists, options, all.entries.size() <= kMostListedUnasked);
}

void inspect_checkpoint(const fs::path& folder, const InspectOptions& options) {
  const train::Checkpoint checkpoint(folder);
  const train::RunPosition& position = checkpoint.position();
  print_line(folder.string(), ": gear checkpoint of step ", format_count(position.step), ", ",
             format_count(position.samples), " images seen, seed ", position.seed);
  checkpoint.verify();
  print_line("  every file has the size and the SHA-256 that its manifest lists");
  std::vector<TensorList> groups;
  for (const std::string& name : checkpoint.groups()) {
    TensorList group = list_tensors(checkpoint.group_path(name)).lists.at(0);
    group.name = name;
    groups.push_back(std::move(group));
  }
  print_table(groups);
  print_tensors(groups, options, /*unasked=*/false);
}

void print_config(const fs::path& path) {
  const auto config = config::load<train::RunConfig>(path);
  const auto& data = config.data;
  const auto& quantizer = config.tokenizer.quantizer;
  print_line("  recipe ", config::detail::format(config.recipe), ", ", format_count(config.steps),
             " steps of ", data.batch_size, " images, ", config::detail::format(config.precision),
             ", seed ", config.seed);
  print_line("  data ", data.path, ": ", data.num_classes, " classes, ", data.image_size, " x ",
             data.image_size, " pixels");
  print_line("  tokenizer: ", config.grid(), " x ", config.grid(), " tokens of ",
             format_count(quantizer.codebook_size), " codes of width ", quantizer.codebook_dim);
  if (config.recipe == train::RecipeKind::kTokenizer) return;
  print_line("  transformer: dim ", config.ar.dim, ", depth ", config.ar.depth, ", ",
             config.ar.heads, " heads; ",
             config.loss.repa ? "aligned with " + config.teacher.model : "no alignment");
}

/// The last whole line of metrics.jsonl; nothing when there is none.
std::optional<nlohmann::ordered_json> last_metrics(const fs::path& path) {
  std::ifstream stream(path);
  std::optional<nlohmann::ordered_json> last;
  for (std::string line; std::getline(stream, line);) {
    auto json = nlohmann::ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) last = std::move(json);
  }
  return last;
}

void print_metrics(const fs::path& path) {
  const auto metrics = last_metrics(path);
  if (!metrics) {
    print_line("no metrics yet");
    return;
  }
  print_line("last metrics");
  for (const auto& [name, value] : metrics->items()) {
    if (value.is_number_float()) {
      std::printf("  %-40s %.6g\n", name.c_str(), value.get<double>());
    } else {
      std::printf("  %-40s %s\n", name.c_str(), value.dump().c_str());
    }
  }
}

int64_t folder_bytes(const fs::path& folder) {
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  }
  return bytes;
}

void inspect_run(const fs::path& folder, const InspectOptions& options) {
  print_line(folder.string(), ": gear run");
  if (fs::exists(folder / "config.yaml")) print_config(folder / "config.yaml");
  const auto checkpoints = train::CheckpointStore(folder / "checkpoints", /*keep=*/1).list();
  print_line(checkpoints.size(), " checkpoints");
  for (const fs::path& checkpoint : checkpoints) {
    print_line("  ", checkpoint.filename().string(), "  ", size_text(folder_bytes(checkpoint)));
  }
  print_metrics(folder / "metrics.jsonl");
  if (!checkpoints.empty()) inspect_checkpoint(checkpoints.back(), options);
}

void inspect(const InspectOptions& options) {
  const fs::path path = options.path;
  if (!fs::exists(path)) {
    fail(options.path,
         ": no such file or folder; expected a run folder, a checkpoint folder or a "
         "weight file");
  }
  if (fs::exists(path / "manifest.json") && fs::exists(path / "config.yaml")) {
    inspect_checkpoint(path, options);
  } else if (fs::exists(path / "config.yaml") || fs::is_directory(path / "checkpoints")) {
    inspect_run(path, options);
  } else {
    inspect_weights(options);
  }
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command =
      app.add_subcommand("inspect", "Tell what is in a run folder, a checkpoint or a weight file.");
  command
      ->add_option("path", options->path,
                   "Run folder, checkpoint folder, .safetensors, .pt, .pth, .ckpt or .bin")
      ->required();
  command->add_flag("--tensors", options->tensors,
                    "List every tensor with type and shape, however many");
  command->add_option("--match", options->match, "List the tensors with this text in their name");
  command->footer(
      "Checksums of a checkpoint are verified; a damaged one is named and the exit code is 2.\n"
      "Example: gear inspect runs/quickstart/joint --match quantize");
  command->callback([options] { inspect(*options); });
}

}  // namespace gear::cli
