#include "gear/data/loader.h"

#include <ATen/ops/empty.h>

#include <utility>
#include <vector>

#include "gear/core/random.h"
#include "pipeline.h"
#include "sample_order.h"
#include "sample_reader.h"

namespace gear::data {
namespace {

TrainingSet training_set(const ImageFolder& source) {
  return {.path = source.root(),
          .size = source.size(),
          .num_classes = static_cast<int64_t>(source.classes().size())};
}

Batch empty_batch(const std::vector<int64_t>& samples, const ImageFolder& source, int64_t side) {
  const auto size = static_cast<int64_t>(samples.size());
  Batch batch{.images = at::empty({size, 3, side, side}, at::kByte),
              .labels = at::empty({size}, at::kLong),
              .sample_ids = samples};
  auto* labels = batch.labels.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < size; ++i) labels[i] = source.label(samples[static_cast<size_t>(i)]);
  return batch;
}

uint8_t* pixels_of(Batch& batch, int64_t item) {
  const int64_t image_bytes = batch.images.numel() / batch.images.size(0);
  return batch.images.mutable_data_ptr<uint8_t>() + item * image_bytes;
}

}  // namespace

class Loader::Impl {
 public:
  Impl(std::shared_ptr<const ImageFolder> source, const DataConfig& config,
       const LoaderShare& share)
      : config_(config),
        share_(share),
        order_(training_set(*source), config, share),
        reader_(std::move(source), config, Filter::kBicubic),
        pipeline_(config.workers, config.prefetch,
                  {.open = [this](int64_t number) { return open(number); },
                   .fill = [this](int64_t number, int64_t item,
                                  Batch& batch) { fill(number, item, batch); }}) {}

  Batch next() {
    Batch batch = pipeline_.next();
    ++next_number_;
    return batch;
  }

  void seek(int64_t micro_batch) {
    next_number_ = order_.number_after(micro_batch);
    pipeline_.seek(next_number_);
  }

  int64_t position() const { return order_.position(next_number_); }
  const SampleOrder& order() const { return order_; }
  const BadImages& bad_images() const { return reader_.bad_images(); }
  BadImages& bad_images() { return reader_.bad_images(); }

 private:
  Batch open(int64_t number) {
    return empty_batch(order_.samples(number), reader_.source(), config_.image_size);
  }

  void fill(int64_t number, int64_t item, Batch& batch) {
    const auto at = order_.place(number);
    const auto index = static_cast<size_t>(item);
    uint8_t* out = pixels_of(batch, item);
    int64_t sample = batch.sample_ids[index];
    if (reader_.read(sample, cut(at.epoch, sample), out)) return;

    RandomStream draw(stream_seed(share_.seed, "replacement", static_cast<uint64_t>(at.epoch),
                                  static_cast<uint64_t>(at.first + item)));
    do {
      sample = draw.integer(0, reader_.source().size() - 1);
    } while (!reader_.read(sample, cut(at.epoch, sample), out));
    batch.sample_ids[index] = sample;
    batch.labels.mutable_data_ptr<int64_t>()[item] = reader_.source().label(sample);
  }

  Cut cut(int64_t epoch, int64_t sample) const {
    const int64_t side = config_.image_size;
    const uint64_t seed = share_.seed;
    Cut cut = centre_cut(side);
    if (config_.random_crop) {
      cut.window = [=](ImageSize size) { return random_crop(size, side, seed, epoch, sample); };
    }
    cut.mirrored = config_.random_flip && random_flip(seed, epoch, sample);
    return cut;
  }

  DataConfig config_;
  LoaderShare share_;
  SampleOrder order_;  // its samples() is called by open() alone
  int64_t next_number_ = 0;
  SampleReader reader_;
  Pipeline pipeline_;  // last: its threads use everything above
};

Loader::Loader(std::shared_ptr<const ImageFolder> source, const DataConfig& config,
               const LoaderShare& share) {
  impl_ = std::make_unique<Impl>(std::move(source), config, share);
}
Loader::~Loader() = default;

Batch Loader::next() { return impl_->next(); }
void Loader::seek(int64_t micro_batch) { impl_->seek(micro_batch); }
int64_t Loader::position() const { return impl_->position(); }
int64_t Loader::steps_per_epoch() const { return impl_->order().steps_per_epoch(); }
int64_t Loader::micro_batches_per_epoch() const { return impl_->order().micro_batches_per_epoch(); }
int64_t Loader::bad_images() const { return impl_->bad_images().count(); }
std::vector<int64_t> Loader::bad_samples() const { return impl_->bad_images().samples(); }
void Loader::restore_bad_samples(const std::vector<int64_t>& samples) {
  impl_->bad_images().restore(samples);
}

class ValidationLoader::Impl {
 public:
  Impl(std::shared_ptr<const ImageFolder> source, const DataConfig& config,
       const LoaderShare& share)
      : side_(config.image_size),
        share_(share),
        reader_(std::move(source), config, config.val_filter),
        pipeline_(config.workers, config.prefetch,
                  {.open = [this](int64_t number) { return open(number); },
                   .fill = [this](int64_t, int64_t item, Batch& batch) { fill(item, batch); }}) {}

  std::optional<Batch> next() {
    while (true) {
      Batch batch = pipeline_.next();
      if (batch.sample_ids.empty()) return std::nullopt;
      batch = without_bad_images(std::move(batch));
      if (!batch.sample_ids.empty()) return batch;
    }
  }

  void seek(int64_t block) { pipeline_.seek(block); }
  int64_t bad_images() const { return reader_.bad_images().count(); }

 private:
  static constexpr int64_t kBad = -1;  // as a sample id

  Batch open(int64_t number) const {
    const int64_t size = reader_.source().size();
    const int64_t block = number * share_.world_size + share_.rank;
    std::vector<int64_t> samples;
    for (int64_t i = 0; i < share_.micro_batch_size; ++i) {
      const int64_t sample = block * share_.micro_batch_size + i;
      if (sample < size) samples.push_back(sample);
    }
    return empty_batch(samples, reader_.source(), side_);
  }

  void fill(int64_t item, Batch& batch) {
    int64_t& sample = batch.sample_ids[static_cast<size_t>(item)];
    if (!reader_.read(sample, centre_cut(side_), pixels_of(batch, item))) sample = kBad;
  }

  static Batch without_bad_images(Batch batch) {
    std::vector<int64_t> kept;
    std::vector<int64_t> rows;
    for (size_t i = 0; i < batch.sample_ids.size(); ++i) {
      if (batch.sample_ids[i] == kBad) continue;
      kept.push_back(batch.sample_ids[i]);
      rows.push_back(static_cast<int64_t>(i));
    }
    if (kept.size() == batch.sample_ids.size()) return batch;
    const Tensor index = at::tensor(rows, at::kLong);
    return {.images = batch.images.index_select(0, index),
            .labels = batch.labels.index_select(0, index),
            .sample_ids = kept};
  }

  int64_t side_;
  LoaderShare share_;
  SampleReader reader_;
  Pipeline pipeline_;  // last: its threads use everything above
};

ValidationLoader::ValidationLoader(std::shared_ptr<const ImageFolder> source,
                                   const DataConfig& config, const LoaderShare& share) {
  check_share(share);
  impl_ = std::make_unique<Impl>(std::move(source), config, share);
}
ValidationLoader::~ValidationLoader() = default;

std::optional<Batch> ValidationLoader::next() { return impl_->next(); }
void ValidationLoader::seek(int64_t block) { impl_->seek(block); }
void ValidationLoader::restart() { seek(0); }
int64_t ValidationLoader::bad_images() const { return impl_->bad_images(); }

}  // namespace gear::data
