#include "golden_runner/train_run.h"

#include "gear/models/teachers/dinov2.h"
#include "gear/train/recipes/ar_recipe.h"
#include "golden_runner/given_codes.h"
#include "golden_runner/model_configs.h"
#include "golden_runner/run_support.h"

namespace gear::golden {
namespace {

/// `config.tokenizer` of these cases is `config.model` of the others with shorter names, and some
/// of it stands among the options of the training.
models::TokenizerConfig tokenizer_config(const nlohmann::json& tokenizer,
                                         const nlohmann::json& options) {
  static const std::map<std::string, std::string> long_names = {
      {"K", "codebook_size"},
      {"embed", "codebook_embed_dim"},
      {"z", "z_channels"},
      {"l2_norm", "codebook_l2_norm"},
  };
  nlohmann::json model;
  for (const auto& [name, value] : tokenizer.items()) {
    const auto long_name = long_names.find(name);
    model[long_name == long_names.end() ? name : long_name->second] = value;
  }
  model["entropy_loss_ratio"] = options.at("entropy_loss_ratio");
  const auto& beta = options.at("commit_loss_beta");
  if (!beta.is_null()) model["commit_loss_beta"] = beta;
  auto config = tokenizer_config_from(tokenizer.at("family"), model);
  config.quantizer.entropy_temperature = options.value("entropy_temperature", 0.01);
  return config;
}

train::RunConfig run_config_from(const nlohmann::json& config) {
  const auto& ar = config.at("ar");
  const auto& options = config.at("train");
  train::RunConfig run;
  run.recipe = config.at("trainer") == "gear" ? train::RecipeKind::kGear : train::RecipeKind::kAr;
  run.precision = train::Precision::kFp32;
  run.steps = config.at("steps");
  run.data.image_size = config.at("image_size");
  run.data.num_classes = config.at("num_classes");

  run.tokenizer = tokenizer_config(config.at("tokenizer"), options);

  run.ar.dim = ar.at("dim");
  run.ar.depth = ar.at("layers");
  run.ar.heads = ar.at("heads");
  run.ar.ffn_multiple_of = ar.value("ffn_multiple_of", int64_t{256});
  run.ar.norm_eps = ar.value("norm_eps", 1e-5);
  run.ar.rope_base = ar.value("rope_base", 10000.0);
  run.ar.token_dropout = run.ar.residual_dropout = run.ar.ffn_dropout = 0.0;

  run.loss.tap = ar.at("tap");
  run.loss.projector_dim = config.at("projector_dim");
  run.loss.repa = options.at("use_repa");
  run.loss.temperature = options.at("temperature");
  run.loss.align_tokenizer = options.at("vae_align_proj_coeff");
  run.loss.align_ar = options.at("proj_coeff");
  run.loss.readout =
      options.at("straight_through").get<bool>() ? train::Readout::kSte : train::Readout::kSoft;
  run.loss.spatial_norm = spatial_norm_from(options.at("spnorm"));
  run.loss.spatial_norm_alpha = options.at("spnorm_alpha");
  run.loss.reconstruction = options.at("reconstruction_weight");
  run.loss.perceptual = options.at("perceptual_weight");
  run.loss.gan = options.at("gan_weight");

  auto& optimizer = run.optimizer;
  optimizer.tokenizer_lr = optimizer.discriminator_lr = optimizer.ar_lr = options.at("lr");
  optimizer.beta1 = options.at("beta1");
  optimizer.beta2 = options.at("beta2");
  optimizer.eps = options.at("eps");
  optimizer.weight_decay = options.at("weight_decay");
  optimizer.max_grad_norm = options.at("max_grad_norm");
  const bool scheduled = run.recipe == train::RecipeKind::kGear;  // `ar` has none, whatever it says
  optimizer.warmup_steps = scheduled ? options.at("warmup_steps").get<int64_t>() : 0;
  optimizer.ema_decay = options.at("ema_decay");
  return run;
}

bool ships(const Case& golden, const std::string& prefix) {
  const auto first = golden.weights().lower_bound(prefix);
  return first != golden.weights().end() && first->first.starts_with(prefix);
}

std::shared_ptr<models::Teacher> make_case_teacher(const Case& golden) {
  const auto& teacher = golden.config().at("teacher");
  const int64_t dim = teacher.at("embed");
  const models::Dinov2Config config{.dim = dim,
                                    .depth = teacher.at("depth"),
                                    .heads = teacher.at("heads"),
                                    .hidden = 4 * dim,
                                    .patch = teacher.at("patch"),
                                    .grid = golden.json().at("grid"),
                                    .layer = golden.config().at("train").at("repa_layer")};
  auto network = std::make_shared<models::Dinov2>(config);
  load_weights(*network, golden.weights(),
               "teacher.");  // the position table is already on the grid
  network->eval();
  return network;
}

/// The networks of update (1) and (2); critics that the case does not ship are left out.
void load_tokenizer_networks(const Case& golden, train::TokenizerNetworks& networks) {
  load_weights(*networks.tokenizer, golden.weights(), "tokenizer.");
  if (ships(golden, "lpips.")) {
    load_weights(*networks.lpips, golden.weights(), "lpips.");
  } else {
    networks.lpips = nullptr;
  }
  if (ships(golden, "disc.")) {
    load_weights(*networks.discriminator, golden.weights(), "disc.");
  } else {
    networks.discriminator = nullptr;
  }
}

/// The frozen tokenizer of the trainer `ar`; codes stand for it where the case has no weights of
/// it.
std::shared_ptr<models::Tokenizer> frozen_tokenizer(const Case& golden, const TrainRun& run) {
  if (!ships(golden, "tokenizer.")) return std::make_shared<GivenCodes>(run.config.tokenizer);
  auto tokenizer = models::make_tokenizer(run.config.tokenizer);
  load_weights(*tokenizer, golden.weights(), "tokenizer.");
  return tokenizer;
}

train::LabelDropout given_label_drop(const Case& golden, models::ArModel model) {
  return [&golden, model](const data::Batch& batch, const train::StepContext& context) {
    const auto drop = golden.inputs().find("ar_label_drop");
    if (drop == golden.inputs().end()) return batch.labels;
    return model->drop_labels(batch.labels, drop->second[context.step] == 1);
  };
}

void make_joint_recipe(const Case& golden, train::TokenizerNetworks tokenizer, train::ArNetworks ar,
                       TrainRun& run) {
  load_tokenizer_networks(golden, tokenizer);
  run.tokenizer = tokenizer.tokenizer;
  auto recipe = std::make_unique<train::GearRecipe>(tokenizer, ar, run.teachers, run.config);
  recipe->set_label_dropout(given_label_drop(golden, ar.ar));
  run.recipe = std::move(recipe);
}

void make_ar_recipe(const Case& golden, train::ArNetworks ar, TrainRun& run) {
  run.tokenizer = frozen_tokenizer(golden, run);
  auto recipe = std::make_unique<train::ArRecipe>(train::tokens_of_pictures(run.tokenizer), ar,
                                                  run.teachers, run.config);
  recipe->set_label_dropout(given_label_drop(golden, ar.ar));
  run.recipe = std::move(recipe);
}

}  // namespace

TrainRun make_train_run(const Case& golden) {
  const auto& json = golden.config();
  TrainRun run;
  run.config = run_config_from(json);
  std::vector<int64_t> feature_dims;
  if (run.config.loss.repa) {
    run.teachers.push_back(make_case_teacher(golden));
    feature_dims.push_back(run.teachers[0]->feature_dim());
  }
  auto networks = make_joint_networks(run.config, feature_dims,
                                      json.at("lpips_channels").get<std::array<int64_t, 5>>(),
                                      json.at("disc_ndf"));
  load_weights(*networks.ar.ar, golden.weights(), "ar.");
  if (networks.ar.projector) load_weights(*networks.ar.projector, golden.weights(), "projector.");
  if (run.config.recipe == train::RecipeKind::kGear) {
    make_joint_recipe(golden, networks.tokenizer, networks.ar, run);
  } else {
    make_ar_recipe(golden, networks.ar, run);
  }
  return run;
}

}  // namespace gear::golden
