#pragma once

#include <ATen/ops/zeros.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gear::golden {

using Tensors = std::map<std::string, at::Tensor>;

/// One folder of expected values; the layout is described beside the cases.
class Case {
 public:
  explicit Case(const std::filesystem::path& folder);

  const nlohmann::json& json() const { return json_; }
  const nlohmann::json& config() const { return json_.at("config"); }
  const std::filesystem::path& folder() const { return folder_; }
  const Tensors& weights() const { return weights_; }
  const Tensors& inputs() const { return inputs_; }
  const Tensors& outputs() const { return outputs_; }
  const Tensors& grads() const { return grads_; }
  at::Tensor input(const std::string& name) const;

 private:
  /// The tensors of one part, from the file that `files` of case.json names, else
  /// <part>.safetensors where that is there.
  Tensors read_part(const std::string& part) const;

  std::filesystem::path folder_;
  nlohmann::json json_;
  Tensors weights_, inputs_, outputs_, grads_;
};

/// Collects comparisons of one case; the worst one is printed.
class Report {
 public:
  explicit Report(const Case& golden);

  /// Compares with outputs.<name> under the case's tolerance; integer tensors must be equal.
  void output(const std::string& name, const at::Tensor& found);
  void grad(const std::string& name, const at::Tensor& found);
  /// A comparison with a bound of its own.
  void within(const std::string& name, double error, double bound);
  void expect(const std::string& name, bool holds);

  /// Every stored output or gradient that was not compared, minus those named by `ignore`.
  void require_all_outputs_compared(const std::vector<std::string>& ignore = {});
  void require_all_grads_compared(const std::vector<std::string>& ignore = {});

  bool passed() const { return failures_.empty(); }
  std::string summary() const;  ///< "<n> tensors, worst <name>: <error> of <bound>"
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  void compare(const std::string& group, const std::string& name, const at::Tensor& found,
               const at::Tensor& expected);

  const Case& golden_;
  std::vector<std::string> compared_;
  std::vector<std::string> failures_;
  std::string worst_name_;
  double worst_ratio_ = -1.0, worst_error_ = 0.0, worst_bound_ = 0.0;
  int64_t count_ = 0;
};

/// One checker per kind, each in <kind>.cpp. `handled` is false when the case's family or model is
/// not built yet (reported as such, neither passed nor failed).
struct Outcome {
  bool handled = true;
  std::string not_built;  ///< what is missing, when !handled
};
Outcome check_tokenizer(const Case&, Report&);
Outcome check_quantizer(const Case&, Report&);
Outcome check_dual_readout(const Case&, Report&);
Outcome check_ar_c2i(const Case&, Report&);
Outcome check_ar_generate(const Case&, Report&);
Outcome check_ar_t2i(const Case&, Report&);
Outcome check_align(const Case&, Report&);
Outcome check_dinov2(const Case&, Report&);
Outcome check_dinov3(const Case&, Report&);
Outcome check_siglip2(const Case&, Report&);
Outcome check_clip(const Case&, Report&);
Outcome check_lpips(const Case&, Report&);
Outcome check_disc(const Case&, Report&);
Outcome check_disc_loss(const Case&, Report&);
Outcome check_optim(const Case&, Report&);
Outcome check_preprocess(const Case&, Report&);
Outcome check_manifests(const Case&, Report&);
Outcome check_full_model(const Case&, Report&);
Outcome check_gear_step(const Case&, Report&);
Outcome check_gear_train_steps(const Case&, Report&);
Outcome check_checkpoints(const Case&, Report&);
Outcome check_recon_metrics(const Case&, Report&);

/// Copies weights into a module's parameters and buffers by name; fails on a missing or extra name.
/// `prefix` is removed from the names of the case first; names without it are ignored.
void load_weights(torch::nn::Module& module, const Tensors& weights,
                  const std::string& prefix = "");

/// Weights by formula (golden README, "Weights by formula").
at::Tensor formula_tensor(const std::string& name, at::IntArrayRef shape, double scale,
                          double offset, uint64_t seed);
void fill_by_formula(torch::nn::Module& module, const nlohmann::json& weights_formula,
                     uint64_t seed);

/// A loss that the family does not have counts as 0.
inline at::Tensor or_zero(const at::Tensor& loss) { return loss.defined() ? loss : at::zeros({}); }

}  // namespace gear::golden
