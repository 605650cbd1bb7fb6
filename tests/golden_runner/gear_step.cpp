// Kind gear_step: complete joint iterations with given teacher features.

#include <ATen/ops/zeros.h>

#include <set>

#include "gear/train/recipes/gear_recipe.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"
#include "golden_runner/run_support.h"

namespace gear::golden {
namespace {

/// Hands out the stored features of the current step.
class StoredTeacher : public models::Teacher {
 public:
  at::Tensor encode(const at::Tensor& /*images*/) override { return features_; }
  int64_t feature_dim() const override { return features_.size(-1); }
  void set(at::Tensor features) { features_ = std::move(features); }

 private:
  at::Tensor features_;
};

train::RunConfig run_config_from(const nlohmann::json& config) {
  const auto& options = config.at("train");
  train::RunConfig run;
  run.recipe = train::RecipeKind::kGear;
  run.precision = train::Precision::kFp32;
  run.steps = config.at("steps");
  run.data.image_size = config.at("image_size");
  run.tokenizer = tokenizer_config_from(config.at("family"), config.at("model"));
  run.ar = ar_config_from(config.at("ModelArgs"));
  run.data.num_classes = run.ar.num_classes;
  run.loss.tap = config.at("encoder_depth");
  run.loss.projector_dim = config.at("projector_dim");
  run.loss.temperature = options.at("temperature");
  run.loss.align_tokenizer = options.at("vae_align_proj_coeff");
  run.loss.align_ar = options.at("proj_coeff");
  run.loss.readout = options.at("vq_align_straight_through").get<bool>() ? train::Readout::kSte
                                                                         : train::Readout::kSoft;
  run.loss.spatial_norm = spatial_norm_from(options.value("repa_target_spnorm", "none"));
  run.loss.spatial_norm_alpha = options.value("repa_spnorm_alpha", 0.6);
  run.optimizer.tokenizer_lr = options.at("vq_lr");
  run.optimizer.discriminator_lr = options.at("disc_lr");
  run.optimizer.ar_lr = options.at("ar_lr");
  run.optimizer.beta1 = options.at("adam_beta1");
  run.optimizer.beta2 = options.at("adam_beta2");
  run.optimizer.eps = options.at("adam_epsilon");
  run.optimizer.weight_decay = options.at("adam_weight_decay");
  run.optimizer.max_grad_norm = options.at("max_grad_norm");
  run.optimizer.warmup_steps = options.at("warmup_steps");
  run.optimizer.ema_decay = options.at("vq_ema_decay");
  return run;
}

/// Names of the case -> checkpoint groups of the recipe.
const std::map<std::string, std::string> kGroups = {
    {"vq", "tokenizer"}, {"vq_ema", "tokenizer_ema"}, {"ar", "ar"},
    {"ema", "ar_ema"},   {"projectors", "projector"}, {"discriminator", "discriminator"},
};

const std::map<std::string, std::string> kMetricNames = {
    {"weighted_gan_loss", "disc/weighted_gan_loss"},
    {"discriminator_factor", "disc/discriminator_factor"},
    {"gan_loss", "disc/gan_loss"},
    {"grad_norm_disc", "disc/grad_norm"},
    {"discriminator_loss", "disc/d_loss"},
    {"logits_real", "disc/logits_real"},
    {"logits_fake", "disc/logits_fake"},
};

void report_scalars(const Case& golden, Report& report, const train::RunConfig& run, int64_t step,
                    const std::map<std::string, double>& metrics) {
  const std::string prefix = std::to_string(step) + ".";
  for (const auto& [name, expected] : golden.outputs()) {
    if (!name.starts_with(prefix)) continue;
    const std::string quantity = name.substr(prefix.size());
    if (quantity == "indices") continue;
    const auto renamed = kMetricNames.find(quantity);
    const auto found = metrics.find(renamed == kMetricNames.end() ? quantity : renamed->second);
    if (quantity == "d_weight") {
      report.output(name, at::scalar_tensor(run.loss.gan));
    } else if (quantity == "lecam_loss" && found == metrics.end()) {
      report.output(name, at::zeros({}));  // weight 0: the regulariser is not computed
    } else if (found != metrics.end()) {
      report.output(name, at::scalar_tensor(found->second, at::kDouble));
    }
  }
}

void report_final_state(Report& report, const Tensors& initial, const Tensors& final_state,
                        const std::set<std::string>& rounding_only) {
  for (const auto& [short_name, group] : kGroups) {
    for (const auto& [name, value] : final_state) {
      if (!name.starts_with(group + ".")) continue;
      const std::string label = short_name + name.substr(group.size());
      const auto change = value.to(at::kDouble) - initial.at(name).to(at::kDouble);
      if (!rounding_only.contains("final." + label)) report.output("final." + label, value);
      if (!rounding_only.contains("final_norm." + label)) {
        report.output("final_norm." + label, value.to(at::kDouble).norm());
      }
      if (!rounding_only.contains("final_delta_norm." + label)) {
        report.output("final_delta_norm." + label, change.norm());
      }
    }
  }
}

}  // namespace

Outcome check_gear_step(const Case& golden, Report& report) {
  const auto& config = golden.config();
  const auto family = config.at("family").get<std::string>();
  if (!is_tokenizer_family(family)) return {.handled = false, .not_built = "family " + family};
  const train::RunConfig run = run_config_from(config);
  const auto feature_dims = config.at("z_dims").get<std::vector<int64_t>>();
  std::array<int64_t, 5> lpips_channels = {64, 128, 256, 512, 512};
  for (int64_t& channels : lpips_channels) channels /= config.at("lpips_divisor").get<int64_t>();

  JointNetworks networks = make_joint_networks(run, feature_dims, lpips_channels, config.at("ndf"));
  load_weights(*networks.tokenizer.tokenizer, golden.weights(), "vq.");
  load_weights(*networks.tokenizer.lpips, golden.weights(), "loss.lpips.");
  load_weights(*networks.tokenizer.discriminator, golden.weights(), "loss.discriminator.");
  load_weights(*networks.ar.ar, golden.weights(), "ar.");
  load_weights(*networks.ar.projector, golden.weights(), "projectors.");

  train::Teachers teachers;
  std::vector<std::shared_ptr<StoredTeacher>> stored;
  for (size_t i = 0; i < feature_dims.size(); ++i) {
    stored.push_back(std::make_shared<StoredTeacher>());
    teachers.push_back(stored.back());
  }
  train::GearRecipe recipe(networks.tokenizer, networks.ar, teachers, run);
  recipe.set_label_dropout(
      [](const data::Batch& batch, const train::StepContext&) { return batch.labels; });

  const Tensors initial = snapshot(recipe);
  for (int64_t step = 0; step < run.steps; ++step) {
    const std::string suffix = std::string(".") + std::to_string(step);
    for (size_t i = 0; i < stored.size(); ++i) {
      stored[i]->set(golden.input("teacher" + suffix + "." + std::to_string(i)));
    }
    data::Batch batch{.images = golden.input("image" + suffix),
                      .labels = golden.input("labels" + suffix),
                      .sample_ids = {}};
    report.output(std::to_string(step) + ".indices",
                  indices_of(*networks.tokenizer.tokenizer, batch.images));
    const auto metrics = recipe.step({&batch, 1}, {.step = step, .diagnostics = true});
    report_scalars(golden, report, run, step, as_map(metrics));
  }

  std::set<std::string> rounding_only;
  for (const auto& name : golden.json().at("rounding_only")) rounding_only.insert(name);
  report_final_state(report, initial, snapshot(recipe), rounding_only);
  report.require_all_outputs_compared({rounding_only.begin(), rounding_only.end()});
  return {};
}

}  // namespace gear::golden
