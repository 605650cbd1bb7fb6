// Kind recon_metrics: L1, PSNR and SSIM of given reconstructions.

#include <ATen/ops/cat.h>

#include "gear/eval/reconstruction.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {

Outcome check_recon_metrics(const Case& golden, Report& report) {
  std::vector<at::Tensor> ssim;
  double l1 = 0.0;
  double psnr = 0.0;
  const size_t batches = golden.config().at("batches").size();
  for (size_t i = 0; i < batches; ++i) {
    const std::string index = std::to_string(i);
    const auto images = models::to_signed_unit(golden.input("image." + index));
    const auto scores = eval::reconstruction_scores(images, golden.input("recon." + index));
    report.output("batch" + index + ".l1", scores.l1.mean());
    report.output("batch" + index + ".psnr", scores.psnr.mean());
    report.output("batch" + index + ".ssim", scores.ssim.mean());
    report.output("batch" + index + ".ssim_per_image", scores.ssim);
    report.output("batch" + index + ".ssim_per_image_f64", scores.ssim);
    l1 += scores.l1.mean().item<double>() / static_cast<double>(batches);
    psnr += scores.psnr.mean().item<double>() / static_cast<double>(batches);
    ssim.push_back(scores.ssim);
  }
  report.output("l1", at::scalar_tensor(l1, at::kDouble));  // the case averages batch means
  report.output("psnr", at::scalar_tensor(psnr, at::kDouble));
  report.output("ssim", at::cat(ssim).mean());
  report.require_all_outputs_compared();
  return {};
}

}  // namespace gear::golden
