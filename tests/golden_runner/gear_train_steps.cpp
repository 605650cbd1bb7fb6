// Kind gear_train_steps: a whole run of a few optimizer steps, with teacher, LPIPS and discriminator
// built from given weights. How to compare is described beside the cases (GEAR_STEP.md).

#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <set>

#include "gear/io/safetensors.h"
#include "gear/models/teachers/dinov2.h"
#include "gear/train/recipes/ar_recipe.h"
#include "gear/train/recipes/gear_recipe.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/run_support.h"

namespace gear::golden {
namespace {

// A correct implementation differs from the stored run by no more than two runs of it with different
// kernels do; 10 is the comfortable factor named beside the cases, plus a thousandth of the change.
constexpr double kNoiseFactor = 10.0;
constexpr double kShareOfChange = 1e-3;
constexpr double kScalarRelative = 1e-4;
constexpr double kScalarRelativeAfterFlip = 1e-2;  // a code may differ within rounding
constexpr double kFloat32Rounding = 1.2e-7;

struct Run {
  train::RunConfig config;
  std::unique_ptr<train::Recipe> recipe;
  std::shared_ptr<models::Tokenizer> tokenizer;
  train::Teachers teachers;
};

train::RunConfig run_config_from(const nlohmann::json& config) {
  const auto& tokenizer = config.at("tokenizer");
  const auto& ar = config.at("ar");
  const auto& options = config.at("train");
  train::RunConfig run;
  run.recipe = config.at("trainer") == "gear" ? train::RecipeKind::kGear : train::RecipeKind::kAr;
  run.precision = train::Precision::kFp32;
  run.steps = config.at("steps");
  run.data.image_size = config.at("image_size");
  run.data.num_classes = config.at("num_classes");

  run.tokenizer.ch = tokenizer.at("ch");
  run.tokenizer.ch_mult = tokenizer.at("ch_mult").get<std::vector<int64_t>>();
  run.tokenizer.num_res_blocks = tokenizer.at("num_res_blocks");
  run.tokenizer.z_channels = tokenizer.at("z");
  auto& quantizer = run.tokenizer.quantizer;
  quantizer.codebook_size = tokenizer.at("K");
  quantizer.codebook_dim = tokenizer.at("embed");
  quantizer.l2_norm = tokenizer.value("l2_norm", true);
  quantizer.entropy_ratio = options.at("entropy_loss_ratio");
  quantizer.entropy_temperature = options.value("entropy_temperature", 0.01);
  if (!options.at("commit_loss_beta").is_null()) {
    quantizer.commit_weight = options.at("commit_loss_beta");
  }

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
  run.loss.readout = options.at("straight_through").get<bool>() ? train::Readout::kSte
                                                                : train::Readout::kSoft;
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
  optimizer.warmup_steps = options.at("warmup_steps");
  optimizer.ema_decay = options.at("ema_decay");
  return run;
}

Tensors read_weights(const Case& golden) {
  const auto path = golden.folder() / golden.json().at("files").at("weights").get<std::string>();
  Tensors tensors;
  const io::SafetensorsFile file(path);
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name).clone();
  return tensors;
}

std::shared_ptr<models::Teacher> make_case_teacher(const Case& golden, const Tensors& weights) {
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
  load_weights(*network, weights, "teacher.");  // the position table is already on the grid
  network->eval();
  return network;
}

Run make_run(const Case& golden) {
  const auto& json = golden.config();
  const Tensors weights = read_weights(golden);
  Run run;
  run.config = run_config_from(json);
  std::vector<int64_t> feature_dims;
  if (run.config.loss.repa) {
    run.teachers.push_back(make_case_teacher(golden, weights));
    feature_dims.push_back(run.teachers[0]->feature_dim());
  }
  auto networks = make_joint_networks(run.config, feature_dims,
                                      json.at("lpips_channels").get<std::array<int64_t, 5>>(),
                                      json.at("disc_ndf"));
  run.tokenizer = networks.tokenizer.tokenizer;
  load_weights(*run.tokenizer, weights, "tokenizer.");
  load_weights(*networks.tokenizer.lpips, weights, "lpips.");
  load_weights(*networks.tokenizer.discriminator, weights, "disc.");
  load_weights(*networks.ar.ar, weights, "ar.");
  if (networks.ar.projector) load_weights(*networks.ar.projector, weights, "projector.");

  const train::LabelDropout given_drop = [&golden, model = networks.ar.ar](
                                             const data::Batch& batch,
                                             const train::StepContext& context) mutable {
    const auto drop = golden.inputs().find("ar_label_drop");
    if (drop == golden.inputs().end()) return batch.labels;
    return model->drop_labels(batch.labels, drop->second[context.step] == 1);
  };
  if (run.config.recipe == train::RecipeKind::kGear) {
    auto recipe = std::make_unique<train::GearRecipe>(networks.tokenizer, networks.ar, run.teachers,
                                                      run.config);
    recipe->set_label_dropout(given_drop);
    run.recipe = std::move(recipe);
  } else {
    auto recipe = std::make_unique<train::ArRecipe>(run.tokenizer, networks.ar, run.teachers,
                                                    run.config);
    recipe->set_label_dropout(given_drop);
    run.recipe = std::move(recipe);
  }
  return run;
}

/// Names of the case <-> checkpoint groups of the recipe.
std::string group_name(const std::string& full_name) {
  static const std::map<std::string, std::string> groups = {
      {"tokenizer", "tokenizer"}, {"ar", "ar"},         {"projector", "projector"},
      {"disc", "discriminator"},  {"ema_ar", "ar_ema"}, {"ema_tokenizer", "tokenizer_ema"},
  };
  const size_t dot = full_name.find('.');
  return groups.at(full_name.substr(0, dot)) + full_name.substr(dot);
}

class Comparison {
 public:
  Comparison(const Case& golden, Report& report, const Run& run)
      : golden_(golden), report_(report), run_(run), noise_(golden.json().at("noise")) {
    for (const auto& name : noise_.at("gradient_is_rounding_only")) {
      const std::string text = name;
      rounding_only_.insert(text);
      if (text.starts_with("tokenizer.")) rounding_only_.insert("ema_" + text);
      if (text.starts_with("ar.")) rounding_only_.insert("ema_" + text);
    }
  }

  /// Codes may flip from the first step at which rounding exceeds the margin of the arg-min.
  bool codes_may_differ(int64_t step) const {
    const auto& distance = noise_.at("distance_abs_max");
    if (distance.is_null()) return false;
    for (int64_t i = 0; i <= step; ++i) {
      if (distance[i].get<double>() > golden_.json().at("argmin_margin_min")[i].get<double>()) {
        return true;
      }
    }
    return false;
  }

  void indices(int64_t step, const at::Tensor& found) {
    const auto expected = golden_.outputs().at("indices")[step];
    const double different = (found != expected).to(at::kDouble).mean().item<double>();
    report_.within("indices of step " + std::to_string(step + 1), different,
                   codes_may_differ(step) ? 0.02 : 0.0);
  }

  void scalars(int64_t step, const std::map<std::string, double>& metrics) {
    for (const auto& [name, values] : golden_.json().at("scalars").items()) {
      std::string own_name = name;
      if (const size_t dot = own_name.find('.'); dot != std::string::npos) own_name[dot] = '/';
      const std::string label = name + " of step " + std::to_string(step + 1);
      const auto found = metrics.find(own_name);
      if (found == metrics.end()) {
        report_.expect(label + " (is not among the metrics)", false);
        continue;
      }
      const double expected = values[step];
      const double noise = noise_.at("scalar_abs").at(name)[step];
      const double relative = codes_may_differ(step) ? kScalarRelativeAfterFlip : kScalarRelative;
      report_.within(label, std::abs(found->second - expected),
                     kNoiseFactor * noise + relative * std::abs(expected) + 1e-6);
    }
  }

  /// After step 1 the first moment is (1 - beta1) times the clipped gradient.
  void first_gradients(const Tensors& state, const std::map<std::string, double>& metrics) {
    static const std::map<std::string, std::pair<std::string, std::string>> sources = {
        {"tokenizer", {"optimizer_tokenizer", "grad_norm_vq"}},
        {"disc", {"optimizer_discriminator", "disc/grad_norm"}},
        {"ar", {"optimizer_ar", "grad_norm_ar"}},
        {"projector", {"optimizer_ar", "grad_norm_ar"}},
    };
    const auto& optimizer = run_.config.optimizer;
    for (const auto& [name, expected] : golden_.json().at("grad_l2_step1_before_clip").items()) {
      if (rounding_only_.contains(name)) continue;
      const size_t dot = name.find('.');
      const auto& [group, norm_name] = sources.at(name.substr(0, dot));
      const std::string owner = name.substr(0, dot) == "disc" ? "discriminator" : name.substr(0, dot);
      const auto moment = state.at(group + ".exp_avg." + owner + name.substr(dot));
      const double clip = std::max(1.0, (metrics.at(norm_name) + 1e-6) / optimizer.max_grad_norm);
      const double found = moment.to(at::kDouble).norm().item<double>() / (1 - optimizer.beta1) * clip;
      const double noise = noise_.at("grad_l2_step1").value(name, 0.0);
      report_.within("gradient norm of " + name, std::abs(found - expected.get<double>()),
                     kNoiseFactor * noise + kShareOfChange * expected.get<double>() + 1e-7);
    }
  }

  void state_after(int64_t steps_done, const Tensors& state) {
    const std::string prefix = "after" + std::to_string(steps_done) + ".";
    for (const auto& [name, expected] : golden_.outputs()) {
      if (!name.starts_with(prefix)) continue;
      std::string inner = name.substr(prefix.size());
      const bool probe = inner.starts_with("probe.");
      if (probe) inner = inner.substr(6);
      if (rounding_only_.contains(inner)) continue;
      auto found = state.at(group_name(inner)).flatten();
      if (probe) {
        const int64_t count = std::min(golden_.json().at("probe").at("count").get<int64_t>(), found.numel());
        const auto index = at::arange(count, at::kLong) * found.numel();
        found = found.index_select(0, index.div(count, "floor"));
      }
      if (!expected.is_floating_point()) {
        report_.expect(name, at::equal(found, expected.flatten()));
        continue;
      }
      state_tensor(prefix + inner, found, expected.flatten());
    }
  }

 private:
  void state_tensor(const std::string& name, const at::Tensor& found, const at::Tensor& expected) {
    double change = 0.0;
    double noise = 0.0;
    if (noise_.at("delta_l2_and_noise_l2").contains(name)) {
      change = noise_.at("delta_l2_and_noise_l2").at(name)[0];
      noise = noise_.at("delta_l2_and_noise_l2").at(name)[1];
    }
    const double error = (found - expected).to(at::kDouble).norm().item<double>();
    const double rounding = kFloat32Rounding * expected.to(at::kDouble).norm().item<double>();
    report_.within(name, error, kNoiseFactor * noise + kShareOfChange * change + rounding);
  }

  const Case& golden_;
  Report& report_;
  const Run& run_;
  const nlohmann::json& noise_;
  std::set<std::string> rounding_only_;
};

void report_first_forward(const Case& golden, Report& report, const Run& run, const data::Batch& batch) {
  const at::NoGradGuard no_grad;
  const bool joint = run.config.recipe == train::RecipeKind::kGear;
  run.tokenizer->train(joint);
  const auto images = models::to_signed_unit(batch.images);
  const auto tokenized = run.tokenizer->forward(images);
  const auto check = [&](const std::string& name, const at::Tensor& found) {
    const auto expected = golden.outputs().find(name);
    if (expected == golden.outputs().end()) return;
    const double scale = expected->second.abs().max().item<double>();
    report.within(name, (found - expected->second).abs().max().item<double>(), 1e-4 * scale);
  };
  check("step1.recon", tokenized.reconstruction);
  check("step1.d", tokenized.quantized.cost);
  if (!run.teachers.empty()) {
    check("step1.teacher_target", train::teacher_targets(run.teachers, batch.images, run.config)[0]);
  }
}

}  // namespace

Outcome check_gear_train_steps(const Case& golden, Report& report) {
  const std::string family = golden.config().at("tokenizer").at("family");
  if (family != "vq") return {.handled = false, .not_built = "family " + family};
  Run run = make_run(golden);
  Comparison comparison(golden, report, run);
  for (int64_t step = 0; step < run.config.steps; ++step) {
    data::Batch batch{.images = golden.input("images")[step],
                      .labels = golden.input("labels")[step],
                      .sample_ids = {}};
    if (step == 0) report_first_forward(golden, report, run, batch);
    comparison.indices(step, indices_of(*run.tokenizer, batch.images));
    const auto metrics = as_map(run.recipe->step({&batch, 1}, {.step = step, .diagnostics = true}));
    comparison.scalars(step, metrics);
    const Tensors state = snapshot(*run.recipe);
    if (step == 0) comparison.first_gradients(state, metrics);
    comparison.state_after(step + 1, state);
  }
  return {};
}

}  // namespace gear::golden
