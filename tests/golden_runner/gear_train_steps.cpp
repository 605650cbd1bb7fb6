// Kind gear_train_steps: a whole run of a few optimizer steps, with teacher, LPIPS and
// discriminator built from given weights. How to compare is described beside the cases
// (GEAR_STEP.md).

#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>

#include <cmath>
#include <set>

#include "gear/train/recipes/micro_batches.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"
#include "golden_runner/run_support.h"
#include "golden_runner/train_run.h"

namespace gear::golden {
namespace {

// A correct implementation differs from the stored run by no more than two runs of it with
// different kernels do; 10 is the comfortable factor named beside the cases, plus a thousandth of
// the change.
constexpr double kNoiseFactor = 10.0;
constexpr double kShareOfChange = 1e-3;
constexpr double kScalarRelative = 1e-4;
constexpr double kScalarRelativeAfterFlip = 1e-2;  // a code may differ within rounding
constexpr double kShareOfChangeAfterFlip = 0.1;    // one code in hundreds has another gradient
constexpr double kFloat32Rounding = 1.2e-7;

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
  Comparison(const Case& golden, Report& report, const TrainRun& run)
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
    code_flipped_ = code_flipped_ || different > 0.0;
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
      const auto& noises = noise_.at("scalar_abs");
      const double noise = noises.contains(name) ? noises.at(name)[step].get<double>() : 0.0;
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
      const std::string owner =
          name.substr(0, dot) == "disc" ? "discriminator" : name.substr(0, dot);
      const auto moment = state.at(group + ".exp_avg." + owner + name.substr(dot));
      const double clip = std::max(1.0, (metrics.at(norm_name) + 1e-6) / optimizer.max_grad_norm);
      const double found =
          moment.to(at::kDouble).norm().item<double>() / (1 - optimizer.beta1) * clip;
      const double noise = noise_.at("grad_l2_step1").value(name, 0.0);
      report_.within("gradient norm of " + name, std::abs(found - expected.get<double>()),
                     kNoiseFactor * noise + share_of_change() * expected.get<double>() + 1e-7);
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
        const int64_t count =
            std::min(golden_.json().at("probe").at("count").get<int64_t>(), found.numel());
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
  /// A code that flipped within rounding has changed this step and all that follow.
  double share_of_change() const {
    return code_flipped_ ? kShareOfChangeAfterFlip : kShareOfChange;
  }

  void state_tensor(const std::string& name, const at::Tensor& found, const at::Tensor& expected) {
    double change = 0.0;
    double noise = 0.0;
    if (noise_.at("delta_l2_and_noise_l2").contains(name)) {
      change = noise_.at("delta_l2_and_noise_l2").at(name)[0];
      noise = noise_.at("delta_l2_and_noise_l2").at(name)[1];
    }
    const double error = (found - expected).to(at::kDouble).norm().item<double>();
    const double rounding = kFloat32Rounding * expected.to(at::kDouble).norm().item<double>();
    report_.within(name, error, kNoiseFactor * noise + share_of_change() * change + rounding);
  }

  const Case& golden_;
  Report& report_;
  const TrainRun& run_;
  const nlohmann::json& noise_;
  std::set<std::string> rounding_only_;
  bool code_flipped_ = false;  // in a step in which the case allows it
};

void report_first_forward(const Case& golden, Report& report, const TrainRun& run,
                          const data::Batch& batch) {
  const at::NoGradGuard no_grad;
  const bool joint = run.config.recipe == train::RecipeKind::kGear;
  run.tokenizer->train(joint);
  const auto tokenized = run.tokenizer->forward(train::tokenizer_input(batch.images));
  const auto check = [&](const std::string& name, const at::Tensor& found) {
    const auto expected = golden.outputs().find(name);
    if (expected == golden.outputs().end()) return;
    const double scale = expected->second.abs().max().item<double>();
    report.within(name, (found - expected->second).abs().max().item<double>(), 1e-4 * scale);
  };
  check("step1.recon", tokenized.reconstruction);
  const auto& costs = tokenized.quantized.costs;  // none where the case gives the codes
  if (costs.left.defined()) check("step1.d", costs.matrix());
  if (!run.teachers.empty()) {
    check("step1.teacher_target",
          train::teacher_targets(run.teachers, batch.images, run.config)[0]);
  }
}

}  // namespace

Outcome check_gear_train_steps(const Case& golden, Report& report) {
  const std::string family = golden.config().at("tokenizer").at("family");
  if (!is_tokenizer_family(family)) return {.handled = false, .not_built = "family " + family};
  const TrainRun run = make_train_run(golden);
  Comparison comparison(golden, report, run);
  const std::string images = golden.inputs().contains("codes") ? "codes" : "images";
  for (int64_t step = 0; step < run.config.steps; ++step) {
    data::Batch batch{.images = golden.input(images)[step],
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
