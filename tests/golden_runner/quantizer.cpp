#include "gear/models/tokenizers/quantizer.h"

#include "dense_readout.h"
#include "golden_runner/golden_case.h"
#include "golden_runner/model_configs.h"

namespace gear::golden {
Outcome check_quantizer(const Case& golden, Report& report) {
  const auto family = golden.config().at("family").get<std::string>();
  if (!is_tokenizer_family(family)) return {.handled = false, .not_built = "quantizer " + family};

  const auto quantizer =
      models::make_quantizer(quantizer_config_from(family, golden.config().at("args")));
  load_weights(*quantizer, golden.weights());
  const auto z = golden.input("z").clone().requires_grad_(true);  // [B, D, h, w]
  const auto quantized = quantizer->forward(z);
  const auto& losses = quantized.losses;
  report.output("z_q", quantized.z_q);
  report.output("indices", quantized.ids);
  report.output("d", quantized.costs.matrix());
  report.output("vq_loss", or_zero(losses.codebook));
  report.output("commit_loss", or_zero(losses.commit));
  report.output("entropy_loss", losses.entropy);
  report.output("sample_entropy", losses.sample_entropy);
  report.output("avg_entropy", losses.average_entropy);
  const auto codes = quantizer->lookup(quantized.ids);
  report.output("entry", codes.view({z.size(0), z.size(2), z.size(3), -1}).permute({0, 3, 1, 2}));
  report.expect("nearest_ids agrees with forward", quantizer->nearest_ids(z).equal(quantized.ids));

  const auto soft =
      dense::soft_assignment(quantized.costs.matrix(), golden.config().at("temperature"));
  report.output("soft", soft);
  const auto scalar = losses.total() + (soft * golden.input("soft_weight")).mean() +
                      (quantized.z_q * golden.input("zq_weight")).mean();
  report.output("scalar", scalar);
  scalar.backward();
  for (const auto& item : quantizer->named_parameters()) {
    report.grad(item.key(), item.value().grad());
  }
  report.grad("input:z", z.grad());
  report.require_all_outputs_compared();
  report.require_all_grads_compared();
  return {};
}

}  // namespace gear::golden
