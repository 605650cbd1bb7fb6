#include "cli/file_kind.h"

#include <algorithm>
#include <string_view>

#include "gear/core/text.h"

namespace gear::cli {
namespace {

constexpr std::string_view kHuggingFaceFile = "Hugging Face file";

/// A file and the parts that were found in it.
struct File {
  const io::WeightFile& file;
  const std::vector<InspectedPart>& parts;

  bool has(const std::string& name) const {
    return std::any_of(parts.begin(), parts.end(),
                       [&](const InspectedPart& part) { return part.part.name == name; });
  }
  bool tells(const char* key) const { return file.fact(key) != nullptr || file.has_settings(key); }
};

/// ", step 500" for the fact `steps`; "" when the file has none.
std::string fact_text(const File& file, const char* fact, const char* label) {
  const std::string* value = file.file.fact(fact);
  return value == nullptr ? "" : std::string(", ") + label + " " + *value;
}

bool is_lightning(const File& file) {
  const bool signs = file.tells("pytorch-lightning_version") || file.tells("callbacks") ||
                     file.tells("loops") || file.tells("global_step");
  return file.has("state_dict") &&
         (signs || file.has("state_dict/model_ema") || file.has("optimizer_states"));
}

std::string lightning_text(const File& file) {
  const bool shadows = file.has("state_dict/model_ema");
  return std::string("Lightning checkpoint with") + (shadows ? " " : "out ") + "EMA shadows" +
         fact_text(file, "pytorch-lightning_version", "version") +
         fact_text(file, "epoch", "epoch") + fact_text(file, "global_step", "step");
}

bool is_training_file(const File& file) {
  return file.has("vq") || file.has("vq_ema") || file.has("ar") ||
         (file.has("ema") && file.tells("steps"));
}

/// "vq, ar, optimizers": the optimizers of one file under one word.
std::string contents(const File& file) {
  std::vector<std::string> names;
  for (const InspectedPart& part : file.parts) {
    const std::string& key = part.part.name;
    const bool optimizer = key == "opt" || key.starts_with("opt_");
    const std::string name = optimizer ? "optimizers" : key;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return join(names);
}

std::string training_text(const File& file) {
  const bool tokenizer = file.has("vq") || file.has("vq_ema");
  const bool transformer = file.has("ar") || file.has("ema");
  const char* stage = !transformer ? "0" : tokenizer ? "1" : "2";
  return std::string("training file of the reference, stage ") + stage + " (" + contents(file) +
         ")" + fact_text(file, "steps", "step");
}

/// The first part whose layout tells where the file is from; a folder with Hugging Face's
/// config.json is called one.
std::string told_by_layout(const File& file) {
  for (const InspectedPart& part : file.parts) {
    const std::string& told = part.guess.file;
    if (told.empty()) continue;
    const bool folder = file.tells("config.json model_type") && told.starts_with(kHuggingFaceFile);
    return folder ? "Hugging Face folder" + told.substr(kHuggingFaceFile.size()) : told;
  }
  return "";
}

std::string wrapper_text(const File& file) {
  for (const char* key : {"ema_encoder", "target_encoder", "encoder"}) {
    if (file.has(key)) return std::string("file with an encoder under ") + key;
  }
  for (const char* key : {"model", "module", "state_dict"}) {
    if (file.has(key)) return std::string("release with its network under ") + key;
  }
  return file.file.format == "torch.save" ? "bare map of tensors" : "weights of one network";
}

}  // namespace

std::string file_kind(const io::WeightFile& weights, const std::vector<InspectedPart>& parts) {
  const File file{weights, parts};
  if (parts.empty()) return "no tensors";
  if (weights.format == "folders of weights") return "several networks, a folder for each";
  const std::string told = told_by_layout(file);
  if (weights.format == "TorchScript") {
    return "TorchScript archive" + (told.empty() ? "" : ": " + told);
  }
  if (is_lightning(file)) return lightning_text(file);
  if (is_training_file(file)) return training_text(file);
  return told.empty() ? wrapper_text(file) : told;
}

}  // namespace gear::cli
