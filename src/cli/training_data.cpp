#include "cli/training_data.h"

#include <utility>

#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/text.h"
#include "gear/data/index_loader.h"
#include "gear/train/data_fingerprint.h"
#include "gear/train/stored_indices.h"

namespace gear::cli {
namespace {

/// A loader together with the source that hands out its batches.
template <class Loader>
class OwnedSource : public train::BatchSource {
 public:
  OwnedSource(std::unique_ptr<Loader> loader, c10::Device device)
      : loader_(std::move(loader)), source_(*loader_, device) {}
  data::Batch next() override { return source_.next(); }
  void seek(int64_t micro_batch) override { source_.seek(micro_batch); }

 private:
  std::unique_ptr<Loader> loader_;
  train::LoaderSource<Loader> source_;
};

}  // namespace

int64_t TrainingData::num_classes() const {
  return static_cast<int64_t>(images ? images->classes().size() : indices->info().classes.size());
}

train::DataFingerprint TrainingData::fingerprint() const {
  return images ? train::data_fingerprint(*images) : train::data_fingerprint(*indices);
}

void TrainingData::describe(const data::DataConfig& config) const {
  const std::string counts =
      "data: " + format_count(size()) + " images in " + std::to_string(num_classes()) + " classes";
  if (images) {
    log::info(counts + " under " + images->root().string());
    return;
  }
  log::info(counts + ", as the indices of their centre crops in " + indices->path().string());
  if (config.random_flip && !indices->info().mirrored) {
    log::warn(indices->path().string() +
              ": has no mirrored pictures, so data.random_flip does nothing; gear encode --flip "
              "stores them");
  }
}

TrainingData open_training_data(train::RunConfig& config) {
  TrainingData data;
  std::filesystem::path path = config.data.path;
  if (config.data.indices.empty()) {
    data.images = std::make_shared<const data::ImageFolder>(path);
  } else {
    path = config.data.indices;
    data.indices = std::make_shared<const data::IndexSet>(path);
    train::expect_indices_fit(*data.indices, config);
  }
  const int64_t classes = data.num_classes();
  if (config.data.num_classes == 0) config.data.num_classes = classes;
  if (classes > config.data.num_classes) {
    fail("data.num_classes: is ", config.data.num_classes, ", but ", path.string(), " has ",
         classes, data.images ? " class folders" : " classes",
         "; raise it, or set it to 0 to take what is there");
  }
  data::expect_full_batch(path, data.size(), config.data);
  return data;
}

OpenedSource open_source(const TrainingData& data, const data::DataConfig& config,
                         const data::LoaderShare& share, c10::Device device) {
  if (data.indices) {
    auto loader = std::make_unique<data::IndexLoader>(data.indices, config, share);
    return {.batches = std::make_unique<OwnedSource<data::IndexLoader>>(std::move(loader), device),
            .bad_images = [] { return int64_t{0}; }};
  }
  auto loader = std::make_unique<data::Loader>(data.images, config, share);
  const data::Loader& pictures = *loader;
  return {.batches = std::make_unique<OwnedSource<data::Loader>>(std::move(loader), device),
          .bad_images = [&pictures] { return pictures.bad_images(); }};
}

}  // namespace gear::cli
