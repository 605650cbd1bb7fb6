#include <memory>

#include "cli/bench.h"
#include "gear/core/text.h"
#include "gear/data/loader.h"

namespace gear::cli {

BenchReport bench_loader(const LoaderBench& options) {
  data::DataConfig config;
  config.path = options.data;
  config.image_size = options.image_size;
  config.batch_size = options.batch;
  config.workers = options.workers;
  config.cache_mb = options.cache_mb;
  const auto folder = std::make_shared<const data::ImageFolder>(options.data);
  const auto loader = std::make_shared<data::Loader>(
      folder, config, data::LoaderShare{.micro_batch_size = options.batch});
  constexpr int64_t kBatches = 8;  // a call, so that batches made beforehand hardly count
  const Contender reading{.name = std::to_string(options.workers) + " threads",
                          .work =
                              [=] {
                                for (int64_t i = 0; i < kBatches; ++i) loader->next();
                              },
                          .volume = {.items = static_cast<double>(kBatches * options.batch)}};
  return {.subject = "loader of " + options.data + ": " + format_count(folder->size()) +
                     " pictures to crops of " + std::to_string(options.image_size) + " pixels",
          .items = "images",
          .measurements = measure({reading}, options.rounds)};
}

}  // namespace gear::cli
