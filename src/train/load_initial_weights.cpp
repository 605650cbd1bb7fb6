#include "train/load_initial_weights.h"

#include <map>
#include <utility>

#include "gear/train/initial_weights.h"

namespace gear::train {
namespace {

/// A network and where its weights may come from.
struct Wanted {
  std::string group;
  std::string name;                     ///< for the user
  std::string own_source;               ///< a key of `init` for this network alone; may be empty
  std::vector<std::string> candidates;  ///< groups to look for, best first
  bool required = false;                ///< also where the source is init.from
};

std::vector<Wanted> wanted_of(const RunConfig& config) {
  const InitConfig& init = config.init;
  const bool frozen = config.recipe == RecipeKind::kAr;
  std::vector<std::string> tokenizers = {"tokenizer"};
  if (frozen && init.tokenizer_ema) tokenizers.insert(tokenizers.begin(), "tokenizer_ema");
  return {// Frozen at random values it would make the whole run worthless.
          {"tokenizer", "tokenizer", init.tokenizer, std::move(tokenizers), /*required=*/frozen},
          {"discriminator", "discriminator", init.discriminator, {"discriminator"}},
          {"ar", "transformer", init.ar, {"ar_ema", "ar"}},
          {"projector", "projector", init.projector, {"projector"}}};
}

/// Tensors of the same names in the same order, divided alike.
void copy_group(const TensorGroup& from, const TensorGroup& to) {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < from.tensors.size(); ++i) {
    to.tensors[i].second.copy_(from.tensors[i].second);
  }
}

class Loader {
 public:
  Loader(Recipe& recipe, const RunConfig& config) : config_(config) {
    for (TensorGroup& group : recipe.state()) groups_.emplace(group.name, std::move(group));
  }

  void load(const Wanted& wanted) {
    const auto network = groups_.find(wanted.group);
    const std::string& source = source_of(wanted.own_source);
    if (network == groups_.end() || source.empty()) return;
    const std::string taken = files_.load(network->second, source, wanted.candidates,
                                          wanted.required || !wanted.own_source.empty());
    notices_.push_back(taken.empty()
                           ? source + " has no " + wanted.name + ": it starts from scratch"
                           : "initial " + wanted.name + ": " + taken);
    start_average(network->second, source);
  }

  std::vector<std::string> take_notices() { return std::move(notices_); }

 private:
  const std::string& source_of(const std::string& own) const {
    return own.empty() ? config_.init.from : own;
  }

  /// Stage 1 goes on from the average of stage 0 (spec 00 section 4 lists `vq_ema` among what it
  /// starts from); only without a stored one, and for other networks, is the average a copy of the
  /// initial weights (spec 03 section 7).
  void start_average(const TensorGroup& network, const std::string& source) {
    const auto average = groups_.find(network.name + "_ema");
    if (average == groups_.end()) return;
    const bool stored =
        network.name == "tokenizer" &&
        !files_.load(average->second, source, {"tokenizer_ema"}, /*required=*/false).empty();
    if (!stored) copy_group(network, average->second);
  }

  const RunConfig& config_;
  InitialWeights files_;
  std::map<std::string, TensorGroup> groups_;
  std::vector<std::string> notices_;
};

}  // namespace

std::vector<std::string> load_initial_weights(Recipe& recipe, const RunConfig& config) {
  Loader loader(recipe, config);
  for (const Wanted& wanted : wanted_of(config)) loader.load(wanted);
  recipe.state_loaded();
  return loader.take_notices();
}

}  // namespace gear::train
