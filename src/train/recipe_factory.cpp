#include "gear/train/recipe_factory.h"

#include <torch/utils.h>

#include <optional>
#include <type_traits>
#include <utility>

#include "gear/core/random.h"
#include "gear/train/recipes/ar_recipe.h"
#include "gear/train/recipes/gear_recipe.h"
#include "gear/train/recipes/tokenizer_recipe.h"
#include "train/load_initial_weights.h"
#include "train/sharding/divided_build.h"

namespace gear::train {
namespace {

/// Initial weights of one network do not depend on what was built before it, nor on the device:
/// they are drawn on the CPU and moved.
void seed_generator(const RunConfig& config, const std::string& purpose) {
  torch::manual_seed(stream_seed(static_cast<uint64_t>(config.seed), purpose));
}

/// Builds the networks of one run on its device, in parts where they are divided, and collects what
/// has to be said about them.
class Builder {
 public:
  Builder(const RunConfig& config, const Parallel& parallel)
      : config_(config), parallel_(parallel), device_(resolve_device(config.device)) {}

  TokenizerNetworks tokenizer_networks() {
    TokenizerNetworks networks;
    networks.tokenizer = tokenizer();
    networks.tokenizer_ema = tokenizer();
    if (config_.loss.perceptual > 0.0) {
      seed_generator(config_, "init.lpips");
      const auto& loss = config_.loss;
      networks.lpips = models::make_lpips(loss.lpips_vgg_weights, loss.lpips_linear_weights);
      networks.lpips->to(device_);
      warning(
          models::missing_lpips_weights_notice(loss.lpips_vgg_weights, loss.lpips_linear_weights));
    }
    if (config_.loss.gan > 0.0) {
      networks.discriminator =
          build("init.discriminator", [&] { return models::PatchGan(config_.discriminator); });
    }
    return networks;
  }

  /// The frozen tokenizer of the recipe ar and how it is used.
  TokenSource token_source() {
    const bool stored = !config_.data.indices.empty();
    const bool named = !config_.init.tokenizer.empty() || !config_.init.from.empty();
    if (stored && !named) return stored_tokens(nullptr);
    auto network = tokenizer();
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
    const auto transformer = [&] { return models::ArModel(ar); };
    ArNetworks networks;
    networks.ar = build("init.ar", transformer);
    networks.ar_ema = build("init.ar", transformer);
    if (!teachers.empty()) {
      std::vector<int64_t> widths;
      for (const auto& teacher : teachers) widths.push_back(teacher->feature_dim());
      networks.projector = build("init.projector", [&] {
        return models::Projector(ar.dim, config_.loss.projector_dim, widths);
      });
    }
    return networks;
  }

  std::vector<std::string> take_warnings() { return std::move(warnings_); }

 private:
  template <class Make>
  std::invoke_result_t<Make> build(const std::string& purpose, const Make& make) {
    seed_generator(config_, purpose);
    std::optional<DividedBuild> in_parts;
    if (divides_parameters(parallel_)) in_parts.emplace(parallel_, device_);
    auto network = make();
    network->to(device_);
    return network;
  }

  std::shared_ptr<models::Tokenizer> tokenizer() {
    return build("init.tokenizer", [&] { return models::make_tokenizer(config_.tokenizer); });
  }

  void warning(const std::string& text) {
    if (!text.empty()) warnings_.push_back(text);
  }

  const RunConfig& config_;
  const Parallel& parallel_;
  const c10::Device device_;
  std::vector<std::string> warnings_;
};

std::unique_ptr<Recipe> build_recipe(Builder& builder, const RunConfig& config,
                                     const Parallel& parallel) {
  switch (config.recipe) {
    case RecipeKind::kTokenizer:
      return std::make_unique<TokenizerRecipe>(builder.tokenizer_networks(), config, parallel);
    case RecipeKind::kGear: {
      auto networks = builder.tokenizer_networks();
      auto teachers = builder.teachers();
      auto ar = builder.ar_networks(teachers);
      return std::make_unique<GearRecipe>(std::move(networks), std::move(ar), std::move(teachers),
                                          config, parallel);
    }
    case RecipeKind::kAr: {
      auto source = builder.token_source();
      auto teachers = builder.teachers();
      auto ar = builder.ar_networks(teachers);
      return std::make_unique<ArRecipe>(std::move(source), std::move(ar), std::move(teachers),
                                        config, parallel);
    }
  }
  fail("make_recipe: unhandled recipe ", static_cast<int>(config.recipe));
}

}  // namespace

BuiltRecipe make_recipe(const RunConfig& config, WeightSource weights, const Parallel& parallel) {
  Builder builder(config, parallel);
  BuiltRecipe built;
  built.recipe = build_recipe(builder, config, parallel);
  built.warnings = builder.take_warnings();
  if (weights == WeightSource::kInit) built.notices = load_initial_weights(*built.recipe, config);
  return built;
}

}  // namespace gear::train
