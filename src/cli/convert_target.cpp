#include <ATen/ops/zeros.h>
#include <c10/core/ScalarType.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "cli/convert.h"
#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/io/atomic.h"
#include "gear/io/safetensors_shards.h"
#include "gear/io/torch_writer.h"
#include "gear/train/config_text.h"
#include "gear/train/network_fit.h"
#include "gear/train/network_parts.h"
#include "gear/train/reference/checkpoint.h"

namespace gear::cli {
namespace {

namespace fs = std::filesystem;
using train::StoredRun;
using train::TensorGroup;

constexpr const char* kSafetensors = "safetensors";
constexpr const char* kTorch = "pt";
constexpr const char* kRun = "run";

bool is_single_file(const ConvertOptions& options, const std::string& format) {
  if (format == kTorch) return true;
  return format == kSafetensors && fs::path(options.target).extension() == ".safetensors";
}

/// Whether the folder holds nothing that this command does not write.
bool is_replaceable(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool of_run = name == "config.yaml" || name == "checkpoints";
    const bool of_model =
        name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
    if (!of_run && !of_model && !train::is_network_group(name)) return false;
  }
  return true;
}

/// What is known only of the one, is taken for the other too: an average starts as a copy.
void copy_missing(StoredRun& run, const std::string& from, const std::string& to,
                  std::vector<ConvertNote>& notes) {
  const TensorGroup* group = run.find(from);
  if (group == nullptr || run.find(to) != nullptr) return;
  TensorGroup copy = *group;
  copy.name = to;
  run.groups.push_back(std::move(copy));
  notes.push_back({to + ": a copy of " + from + ", the source has none of its own"});
}

void complete_pairs(StoredRun& run, std::vector<ConvertNote>& notes) {
  copy_missing(run, "ar", "ar_ema", notes);
  copy_missing(run, "ar_ema", "ar", notes);
  copy_missing(run, "tokenizer_ema", "tokenizer", notes);
  // The recipe ar keeps the one frozen tokenizer it uses.
  if (run.config.recipe == train::RecipeKind::kAr) return;
  copy_missing(run, "tokenizer", "tokenizer_ema", notes);
}

/// The averages of the LeCam regulariser, which a run that has it goes on with.
void add_lecam(StoredRun& run, std::vector<ConvertNote>& notes) {
  const bool needed = run.config.loss.lecam > 0.0 && run.find("optimizer_discriminator") != nullptr;
  if (!needed || run.find("lecam") != nullptr) return;
  run.groups.push_back({"lecam", {{"real", at::zeros({1})}, {"fake", at::zeros({1})}}});
  notes.push_back({"lecam: averages begin at 0, the source has none"});
}

void write_run(StoredRun run, const fs::path& target, std::vector<ConvertNote>& notes) {
  complete_pairs(run, notes);
  add_lecam(run, notes);
  run.config.run_dir = target.string();
  const std::string yaml = train::config_text(run.config, /*with_help=*/true);
  io::AtomicDirectory folder(target);
  const train::CheckpointStore store(folder.path() / "checkpoints", /*keep=*/1);
  store.save(run.position, yaml, run.groups);
  io::write_file_atomically(folder.path() / "config.yaml", yaml);
  folder.commit();
}

void write_torch_file(const StoredRun& run, const fs::path& target,
                      std::vector<ConvertNote>& notes) {
  for (const std::string& group : train::reference::groups_without_place(run)) {
    notes.push_back(
        {group + ": not written, a training file of the reference has no place for it"});
  }
  io::write_torch(target, train::reference::checkpoint_value(run));
}

io::Metadata metadata_for(const StoredRun& run, const std::string& part) {
  return {{"format", "pt"},
          {kPartKey, part},
          {kStepKey, std::to_string(run.position.step)},
          {kConfigKey, train::config_text(run.config, /*with_help=*/false)}};
}

/// The networks, and a note for each group that is none.
std::vector<const TensorGroup*> networks_of(const StoredRun& run, std::vector<ConvertNote>& notes) {
  std::vector<const TensorGroup*> networks;
  for (const TensorGroup& group : run.groups) {
    if (train::is_network_group(group.name)) {
      networks.push_back(&group);
    } else {
      notes.push_back({group.name + ": not written, safetensors targets hold networks alone"});
    }
  }
  return networks;
}

void write_safetensors_file(const StoredRun& run, const ConvertOptions& options,
                            std::vector<ConvertNote>& notes) {
  const auto networks = networks_of(run, notes);
  if (networks.size() != 1) {
    std::vector<std::string> names;
    for (const TensorGroup* network : networks) names.push_back(network->name);
    fail(options.target, ": a safetensors file holds one network, and ", options.source, " has ",
         join(names), "; choose one with --part, or name a folder for all with --to safetensors");
  }
  if (options.max_shard_size > 0) {
    fail("--max-shard-size: ", options.target,
         " is one file; name a folder, with --to safetensors");
  }
  io::write_safetensors(options.target, networks[0]->tensors, metadata_for(run, networks[0]->name));
}

void write_safetensors_folder(const StoredRun& run, const ConvertOptions& options,
                              std::vector<ConvertNote>& notes) {
  const uint64_t most =
      options.max_shard_size > 0 ? options.max_shard_size : std::numeric_limits<uint64_t>::max();
  const auto networks = networks_of(run, notes);
  if (networks.size() == 1) {
    io::write_sharded_safetensors(options.target, networks[0]->tensors, most,
                                  metadata_for(run, networks[0]->name));
    return;
  }
  io::AtomicDirectory folder(options.target);
  for (const TensorGroup* network : networks) {
    io::write_sharded_safetensors(folder.path() / network->name, network->tensors, most,
                                  metadata_for(run, network->name));
  }
  folder.commit();
}

nlohmann::json shapes_of(const std::vector<train::NamedParameter>& parameters) {
  nlohmann::json shapes = nlohmann::json::array();
  for (const auto& [name, tensor] : parameters) shapes.push_back(tensor.sizes().vec());
  return shapes;
}

}  // namespace

std::string target_format(const ConvertOptions& options) {
  if (!options.format.empty()) return options.format;
  const std::string extension = fs::path(options.target).extension().string();
  if (extension == ".safetensors") return kSafetensors;
  if (extension == ".pt" || extension == ".pth") return kTorch;
  if (extension.empty()) return kRun;
  fail(options.target, ": ends in ", extension,
       ", which tells no format; name a .safetensors or .pt file or a folder, or give --to");
}

void expect_free_target(const ConvertOptions& options, const std::string& format) {
  const fs::path target = options.target;
  if (!fs::exists(target)) return;
  const bool file = is_single_file(options, format);
  if (fs::is_directory(target) == file) {
    fail(options.target, ": is a ", file ? "folder" : "file", ", and a ", file ? "file" : "folder",
         " is to be written; choose another name");
  }
  if (!file && !is_replaceable(target)) {
    fail(options.target, ": the folder holds other files; choose another name");
  }
  if (!file && fs::is_empty(target)) return;
  if (!options.force) fail(options.target, ": already exists; --force replaces it");
}

void write_target(StoredRun run, const ConvertOptions& options, const std::string& format,
                  std::vector<ConvertNote>& notes) {
  if (format == kRun) {
    write_run(std::move(run), options.target, notes);
  } else if (format == kTorch) {
    write_torch_file(run, options.target, notes);
  } else if (is_single_file(options, format)) {
    write_safetensors_file(run, options, notes);
  } else {
    write_safetensors_folder(run, options, notes);
  }
}

std::string expected_names(const StoredRun& run) {
  const train::NetworkShapes shapes(run.config);
  nlohmann::ordered_json networks = nlohmann::ordered_json::object();
  nlohmann::ordered_json optimizers = nlohmann::ordered_json::object();
  for (const TensorGroup& group : run.groups) {
    const std::string key = train::reference::key_of_group(group.name, run.config.recipe);
    if (key.empty()) continue;
    if (!train::is_network_group(group.name)) {
      optimizers[key] = shapes_of(shapes.trained_by(group.name));
      continue;
    }
    for (const auto& [name, tensor] : shapes.network(group.name).tensors) {
      networks[key][name] = {{"shape", tensor.sizes().vec()},
                             {"dtype", c10::getDtypeNames(tensor.scalar_type()).first}};
    }
  }
  return nlohmann::ordered_json{{"networks", networks}, {"optimizers", optimizers}}.dump(1);
}

}  // namespace gear::cli
