#include "gear/losses/adversarial.h"
#include "golden_runner/golden_case.h"

namespace gear::golden {

Outcome check_disc_loss(const Case& golden, Report& report) {
  const auto& config = golden.config();
  const double weight = config.at("lecam_weight");
  const int64_t start = config.at("discriminator_start");
  const double factor_after_start = config.value("discriminator_factor", 1.0);
  losses::LeCam lecam(config.at("lecam_ema_decay").get<double>());

  for (int64_t step = 0; step < config.at("steps").get<int64_t>(); ++step) {
    const auto at_step = [&](const std::string& name) { return name + "." + std::to_string(step); };
    const auto real = golden.input(at_step("real")).clone().requires_grad_(true);
    const auto fake = golden.input(at_step("fake")).clone().requires_grad_(true);

    const auto hinge = losses::hinge_discriminator_loss(real, fake);
    const auto regulariser = weight * lecam(real, fake);
    const double factor = losses::discriminator_factor(step, start, factor_after_start);
    report.output(at_step("hinge"), hinge);
    report.output(at_step("lecam"), regulariser);
    report.output(at_step("d_loss"), factor * hinge + regulariser);
    lecam.commit();
    report.output(at_step("ema_real"), lecam.real_average);
    report.output(at_step("ema_fake"), lecam.fake_average);

    hinge.backward();
    report.grad(at_step("input:real"), real.grad());
    report.grad(at_step("input:fake"), fake.grad());
  }
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
