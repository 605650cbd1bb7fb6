#include "gear/train/initial_weights.h"

#include "gear/core/error.h"
#include "gear/core/text.h"
#include "gear/io/weights.h"

namespace gear::train {
namespace {

/// Where a weight file of another program keeps what gear calls this group.
io::LoadOptions sections_of(const std::string& group) {
  if (group == "tokenizer_ema") return io::tokenizer_sections(/*prefer_ema=*/true);
  if (group == "tokenizer") return io::tokenizer_sections(/*prefer_ema=*/false);
  if (group == "ar_ema") return io::ar_sections(/*prefer_ema=*/true);
  if (group == "ar") return io::ar_sections(/*prefer_ema=*/false);
  if (group == "projector") return io::section("projectors");
  return io::LoadOptions{.sections = {group}};
}

/// Copies the tensors; where they do not fit, says where the configuration that fits stands.
void assign(torch::nn::Module& module, const io::TensorMap& tensors,
            const std::filesystem::path& path, const std::filesystem::path& config) {
  try {
    io::assign_weights(module, tensors, path.string());
  } catch (const Error& error) {
    fail(error.what(),
         "; it was trained with another configuration: compare data.num_classes, "
         "tokenizer and ar with ",
         config.string());
  }
}

}  // namespace

const std::optional<Checkpoint>& InitialWeights::checkpoint_at(
    const std::filesystem::path& source) {
  const auto known = checkpoints_.find(source);
  if (known != checkpoints_.end()) return known->second;
  return checkpoints_.emplace(source, find_checkpoint(source)).first->second;
}

std::string InitialWeights::load(torch::nn::Module& module, const std::filesystem::path& source,
                                 const std::vector<std::string>& candidates, bool required) {
  if (!std::filesystem::exists(source)) {
    fail(source.string(), ": no such checkpoint, run folder or weight file");
  }
  if (const auto& checkpoint = checkpoint_at(source)) {
    for (const std::string& group : candidates) {
      if (!checkpoint->contains(group)) continue;
      const auto path = checkpoint->group_path(group);
      assign(module, io::load_tensors(path), path, checkpoint->config_path());
      return path.string();
    }
    if (!required) return "";
    fail(checkpoint->folder().string(), ": has no ", join(candidates, " or "), "; it has ",
         join(checkpoint->groups()));
  }
  if (std::filesystem::is_directory(source / "checkpoints")) {
    fail(source.string(), ": this run has no checkpoint yet");
  }
  const auto tensors = io::load_tensors(source, sections_of(candidates.front()));
  io::assign_weights(module, tensors, source.string());
  return source.string();
}

}  // namespace gear::train
