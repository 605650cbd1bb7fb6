#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/inspect.h"
#include "cli/print.h"
#include "gear/core/text.h"
#include "gear/io/hash.h"
#include "gear/train/named_checkpoint.h"
#include "gear/train/run_config.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string size_text(int64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

/// A checkpoint with its groups as parts; unless values are not to be read, its files have the
/// checksums of its manifest.
struct InspectedCheckpoint {
  train::Checkpoint checkpoint;
  Json manifest;
  std::vector<InspectedPart> groups;
};

/// The manifest without the table of tensors, which the files tell as well.
Json read_manifest(const fs::path& folder) {
  std::ifstream stream(folder / "manifest.json");
  Json manifest = Json::parse(stream);
  for (auto& [name, file] : manifest.at("files").items()) file.erase("tensors");
  return manifest;
}

InspectedCheckpoint look_at_checkpoint(const fs::path& folder, const InspectOptions& options) {
  const auto checkpoint = train::open_named([&] {
    train::Checkpoint opened(folder);
    if (options.values) opened.verify();
    return opened;
  });
  std::vector<io::WeightPart> parts;
  for (const std::string& name : checkpoint.groups()) {
    if (!options.part.empty() && name != options.part) continue;
    io::WeightPart group = io::open_weight_file(checkpoint.group_path(name)).parts.at(0);
    group.name = name;
    parts.push_back(std::move(group));
  }
  if (!options.part.empty() && parts.empty()) checkpoint.group_path(options.part);  // says what is
  auto groups = look_at(std::move(parts));
  if (options.values) read_values(groups);
  return {checkpoint, read_manifest(folder), std::move(groups)};
}

/// Several parts of a file have their own checksums in the manifest; one of the whole is read.
std::string sha256_of(const fs::path& file, const Json& entry) {
  return entry.contains("sha256") ? entry.value("sha256", "") : io::sha256_of_file(file);
}

void print_manifest(const fs::path& folder, const Json& manifest, const InspectOptions& options) {
  const auto& data = manifest.value("data", Json::object());
  const int64_t ranks = manifest.value("world_size", 1);
  print_line("  written by gear ", manifest.value("gear_version", "of unknown version"),
             " in checkpoint format ", manifest.value("format_version", 0), ", ", ranks,
             ranks == 1 ? " rank" : " ranks", ", from ",
             format_count(data.value("images", int64_t{0})), " images");
  if (!options.verbose && !options.hash) return;
  for (const auto& [name, file] : manifest.at("files").items()) {
    print_line("  file ", name, ": ", format_count(file.value("bytes", int64_t{0})),
               " bytes, SHA-256 ", sha256_of(folder / name, file));
  }
}

void print_checkpoint(const fs::path& folder, const InspectOptions& options) {
  const InspectedCheckpoint found = look_at_checkpoint(folder, options);
  const train::RunPosition& position = found.checkpoint.position();
  print_line(folder.string(), ": gear checkpoint of step ", format_count(position.step), ", ",
             format_count(position.samples), " images seen, seed ", position.seed);
  print_line(options.values ? "  every file has the size and the SHA-256 that its manifest lists"
                            : "  checksums were not verified (--no-values)");
  print_manifest(folder, found.manifest, options);
  print_parts(found.groups, options);
  print_tensors(found.groups, options, /*unasked=*/false);
}

Json checkpoint_json(const fs::path& folder, const InspectOptions& options) {
  const InspectedCheckpoint found = look_at_checkpoint(folder, options);
  return {{"path", folder.string()},
          {"kind", "gear checkpoint"},
          {"manifest", found.manifest},
          {"parts", parts_json(found.groups, options)}};
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
std::optional<Json> last_metrics(const fs::path& path) {
  std::ifstream stream(path);
  std::optional<Json> last;
  for (std::string line; std::getline(stream, line);) {
    auto json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
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
      std::printf("  %-40s %.6g\n", printable(name).c_str(), value.get<double>());
    } else {
      std::printf("  %-40s %s\n", printable(name).c_str(), printable(value.dump()).c_str());
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

std::vector<fs::path> checkpoints_of(const fs::path& run) {
  return train::CheckpointStore(run / "checkpoints", /*keep=*/1).list();
}

void print_run(const fs::path& folder, const InspectOptions& options) {
  print_line(folder.string(), ": gear run");
  if (fs::exists(folder / "config.yaml")) print_config(folder / "config.yaml");
  const auto checkpoints = checkpoints_of(folder);
  print_line(checkpoints.size(), " checkpoints");
  for (const fs::path& checkpoint : checkpoints) {
    print_line("  ", checkpoint.filename().string(), "  ", size_text(folder_bytes(checkpoint)));
  }
  print_metrics(folder / "metrics.jsonl");
  if (!checkpoints.empty()) print_checkpoint(checkpoints.back(), options);
}

Json run_json(const fs::path& folder, const InspectOptions& options) {
  Json json = {{"path", folder.string()}, {"kind", "gear run"}, {"checkpoints", Json::array()}};
  const auto checkpoints = checkpoints_of(folder);
  for (const fs::path& checkpoint : checkpoints) {
    json["checkpoints"].push_back(
        {{"name", checkpoint.filename().string()}, {"bytes", folder_bytes(checkpoint)}});
  }
  if (const auto metrics = last_metrics(folder / "metrics.jsonl")) json["metrics"] = *metrics;
  if (!checkpoints.empty()) json["newest"] = checkpoint_json(checkpoints.back(), options);
  return json;
}

}  // namespace

bool is_checkpoint(const fs::path& path) {
  return fs::exists(path / "manifest.json") && fs::exists(path / "config.yaml");
}

bool is_run(const fs::path& path) {
  return fs::exists(path / "config.yaml") || fs::is_directory(path / "checkpoints");
}

void inspect_checkpoint(const InspectOptions& options) {
  if (options.json) {
    print_json(checkpoint_json(options.path, options));
  } else {
    print_checkpoint(options.path, options);
  }
}

void inspect_run(const InspectOptions& options) {
  if (options.json) {
    print_json(run_json(options.path, options));
  } else {
    print_run(options.path, options);
  }
}

}  // namespace gear::cli
