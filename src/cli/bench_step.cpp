#include <ATen/ops/randint.h>

#include <memory>

#include "cli/bench.h"
#include "cli/bench_config.h"
#include "cli/operation_counter.h"
#include "cli/run_setup.h"
#include "gear/core/device.h"
#include "gear/train/recipe_factory.h"

// B batch, S image side

namespace gear::cli {
namespace {

/// A recipe with random weights and one random batch: the time of a step depends on neither.
struct Training {
  train::RunConfig config;
  std::unique_ptr<train::Recipe> recipe;
  data::Batch batch;
  int64_t step = 0;

  void run() {
    recipe->step({&batch, 1}, {.step = step, .diagnostics = step == 0});
    ++step;
  }

  /// Floating-point operations of a step, which it makes to count them.
  double operations() {
    const OperationCounter counter;
    run();
    return counter.count();
  }
};

std::shared_ptr<Training> make_training(const StepBench& options) {
  auto training = std::make_shared<Training>();
  training->config = config_without_weights(options.config, options.overrides);
  const auto& data = training->config.data;
  use_threads(training->config.threads);
  use_convolutions(training->config.convolutions);
  training->recipe = train::make_recipe(training->config, train::WeightSource::kCheckpoint).recipe;
  const int64_t count = data.batch_size;
  training->batch = {
      .images = at::randint(0, 256, {count, 3, data.image_size, data.image_size}).to(at::kByte),
      .labels = at::randint(data.num_classes, {count}, at::kLong),
      .sample_ids = {}};
  for (int64_t i = 0; i < count; ++i) training->batch.sample_ids.push_back(i);
  const auto device = resolve_device(training->config.device);
  training->batch.images = training->batch.images.to(device);
  training->batch.labels = training->batch.labels.to(device);
  return training;
}

}  // namespace

BenchReport bench_step(const StepBench& options) {
  const auto training = make_training(options);
  const auto& config = training->config;
  const double images = static_cast<double>(config.data.batch_size);
  const Contender step{.name = config::detail::format(config.precision) + ", whole step",
                       .work = [=] { training->run(); },
                       .volume = {.operations = training->operations(), .items = images}};
  return {.subject = "training step of " + options.config + ": recipe " +
                     config::detail::format(config.recipe) + ", " +
                     std::to_string(config.data.batch_size) + " images of " +
                     std::to_string(config.data.image_size) + " pixels, random weights",
          .items = "images",
          .measurements = measure({step}, options.rounds)};
}

}  // namespace gear::cli
