#include "gear/train/recipe_factory.h"

#include <torch/utils.h>

#include "gear/core/random.h"
#include "gear/train/initial_weights.h"
#include "gear/train/recipes/ar_recipe.h"
#include "gear/train/recipes/gear_recipe.h"
#include "gear/train/recipes/tokenizer_recipe.h"

namespace gear::train {
namespace {

/// Initial weights of one network do not depend on what was built before it, nor on the device:
/// they are drawn on the CPU and moved.
void seed_generator(const RunConfig& config, const std::string& purpose) {
  torch::manual_seed(stream_seed(static_cast<uint64_t>(config.seed), purpose));
}

/// Builds the networks of one run on its device and collects what has to be said about their
/// weights.
class Builder {
 public:
  Builder(const RunConfig& config, WeightSource weights)
      : config_(config), weights_(weights), device_(resolve_device(config.device)) {}

  TokenizerNetworks tokenizer_networks() {
    TokenizerNetworks networks;
    networks.tokenizer = tokenizer({"tokenizer"});
    networks.tokenizer_ema = models::make_tokenizer(config_.tokenizer);
    networks.average_is_given = load_tokenizer_average(*networks.tokenizer_ema);
    networks.tokenizer_ema->to(device_);
    if (config_.loss.perceptual > 0.0) {
      seed_generator(config_, "init.lpips");
      const auto& loss = config_.loss;
      networks.lpips = models::make_lpips(loss.lpips_vgg_weights, loss.lpips_linear_weights);
      networks.lpips->to(device_);
      warning(
          models::missing_lpips_weights_notice(loss.lpips_vgg_weights, loss.lpips_linear_weights));
    }
    if (config_.loss.gan > 0.0) {
      seed_generator(config_, "init.discriminator");
      networks.discriminator = models::PatchGan(config_.discriminator);
      load(*networks.discriminator, "discriminator", config_.init.discriminator, {"discriminator"});
      networks.discriminator->to(device_);
    }
    return networks;
  }

  /// The tokenizer initialised, or loaded from the first of `groups` that the source has.
  std::shared_ptr<models::Tokenizer> tokenizer(const std::vector<std::string>& groups) {
    seed_generator(config_, "init.tokenizer");
    auto network = models::make_tokenizer(config_.tokenizer);
    // Frozen at random values it would make the whole run worthless.
    load(*network, "tokenizer", config_.init.tokenizer, groups,
         /*required=*/config_.recipe == RecipeKind::kAr);
    network->to(device_);
    return network;
  }

  /// The frozen tokenizer of the recipe ar and how it is used.
  TokenSource token_source() {
    const auto groups = config_.init.tokenizer_ema
                            ? std::vector<std::string>{"tokenizer_ema", "tokenizer"}
                            : std::vector<std::string>{"tokenizer"};
    const bool stored = !config_.data.indices.empty();
    const bool named = !config_.init.tokenizer.empty() || !config_.init.from.empty();
    if (stored && !named) return stored_tokens(nullptr);
    auto network = tokenizer(groups);
    return stored ? stored_tokens(std::move(network)) : tokens_of_pictures(std::move(network));
  }

  Teachers teachers() {
    if (!config_.loss.repa) return {};
    seed_generator(config_, "init.teacher");
    Teachers teachers;
    for (const auto& single : models::single_teachers(config_.teacher)) {
      teachers.push_back(models::make_teacher(single, config_.grid()));
      teachers.back()->to(device_);
      warning(models::missing_weights_notice(single));
    }
    return teachers;
  }

  ArNetworks ar_networks(const Teachers& teachers) {
    const models::ArConfig ar = config_.resolved_ar();
    ArNetworks networks;
    seed_generator(config_, "init.ar");
    networks.ar = models::ArModel(ar);
    load(*networks.ar, "transformer", config_.init.ar, {"ar_ema", "ar"});
    networks.ar->to(device_);
    networks.ar_ema = models::ArModel(ar);
    networks.ar_ema->to(device_);
    if (!teachers.empty()) {
      std::vector<int64_t> widths;
      for (const auto& teacher : teachers) widths.push_back(teacher->feature_dim());
      seed_generator(config_, "init.projector");
      networks.projector = models::Projector(ar.dim, config_.loss.projector_dim, widths);
      load(*networks.projector, "projector", config_.init.projector, {"projector"});
      networks.projector->to(device_);
    }
    return networks;
  }

  std::vector<std::string> take_warnings() { return std::move(warnings_); }
  std::vector<std::string> take_notices() { return std::move(notices_); }

 private:
  /// Stage 1 goes on from the average of stage 0 (spec 00 section 4 lists `vq_ema` among what it
  /// starts from); only without a stored one is the average a copy of the initial weights (spec 03
  /// section 7).
  bool load_tokenizer_average(models::Tokenizer& average) {
    const std::string& source = source_of(config_.init.tokenizer);
    if (source.empty()) return false;
    return !initial_.load(average, source, {"tokenizer_ema"}, /*required=*/false).empty();
  }

  /// Where the weights of a network come from; "": it stays as initialised.
  const std::string& source_of(const std::string& own) const {
    static const std::string kNone;
    if (weights_ == WeightSource::kCheckpoint) return kNone;
    return own.empty() ? config_.init.from : own;
  }

  /// Weights from the source of its own must be there, those from `init.from` if `required`.
  void load(torch::nn::Module& module, const std::string& what, const std::string& own_source,
            const std::vector<std::string>& groups, bool required = false) {
    const std::string& source = source_of(own_source);
    if (source.empty()) return;
    const std::string taken =
        initial_.load(module, source, groups, required || !own_source.empty());
    notice(taken.empty() ? source + " has no " + what + ": it starts from scratch"
                         : "initial " + what + ": " + taken);
  }

  void notice(const std::string& text) { notices_.push_back(text); }
  void warning(const std::string& text) {
    if (!text.empty()) warnings_.push_back(text);
  }

  const RunConfig& config_;
  const WeightSource weights_;
  const c10::Device device_;
  InitialWeights initial_;
  std::vector<std::string> warnings_, notices_;
};

}  // namespace

BuiltRecipe make_recipe(const RunConfig& config, WeightSource weights, const Parallel& parallel) {
  Builder builder(config, weights);
  BuiltRecipe built;
  switch (config.recipe) {
    case RecipeKind::kTokenizer: {
      auto networks = builder.tokenizer_networks();
      built.recipe = std::make_unique<TokenizerRecipe>(std::move(networks), config, parallel);
      break;
    }
    case RecipeKind::kGear: {
      auto networks = builder.tokenizer_networks();
      auto teachers = builder.teachers();
      auto ar = builder.ar_networks(teachers);
      built.recipe = std::make_unique<GearRecipe>(std::move(networks), std::move(ar),
                                                  std::move(teachers), config, parallel);
      break;
    }
    case RecipeKind::kAr: {
      auto source = builder.token_source();
      auto teachers = builder.teachers();
      auto ar = builder.ar_networks(teachers);
      built.recipe = std::make_unique<ArRecipe>(std::move(source), std::move(ar),
                                                std::move(teachers), config, parallel);
      break;
    }
  }
  built.warnings = builder.take_warnings();
  built.notices = builder.take_notices();
  return built;
}

}  // namespace gear::train
