#include "gear/data/index_loader.h"

#include <ATen/ops/empty.h>

#include <utility>
#include <vector>

#include "gear/data/transform.h"
#include "sample_order.h"

namespace gear::data {

/// Without threads: a batch of 256 pictures of 256 tokens is read in less than a millisecond.
class IndexLoader::Impl {
 public:
  Impl(std::shared_ptr<const IndexSet> source, const DataConfig& config, const LoaderShare& share)
      : source_(std::move(source)),
        seed_(share.seed),
        flip_(config.random_flip && source_->info().mirrored),
        order_({.path = source_->path(),
                .size = source_->size(),
                .num_classes = static_cast<int64_t>(source_->info().classes.size())},
               config, share) {}

  Batch next() {
    const int64_t epoch = order_.place(next_number_).epoch;
    Batch batch{.images = {}, .labels = {}, .sample_ids = order_.samples(next_number_)};
    const size_t size = batch.sample_ids.size();
    batch.labels = at::empty({static_cast<int64_t>(size)}, at::kLong);
    auto* labels = batch.labels.mutable_data_ptr<int64_t>();
    std::vector<bool> mirrored(size);
    for (size_t i = 0; i < size; ++i) {
      labels[i] = source_->label(batch.sample_ids[i]);
      mirrored[i] = flip_ && random_flip(seed_, epoch, batch.sample_ids[i]);
    }
    batch.tokens = source_->tokens(batch.sample_ids, mirrored);
    ++next_number_;
    return batch;
  }

  void seek(int64_t micro_batch) { next_number_ = order_.number_after(micro_batch); }
  int64_t position() const { return order_.position(next_number_); }

 private:
  std::shared_ptr<const IndexSet> source_;
  uint64_t seed_;
  bool flip_;
  SampleOrder order_;
  int64_t next_number_ = 0;
};

IndexLoader::IndexLoader(std::shared_ptr<const IndexSet> source, const DataConfig& config,
                         const LoaderShare& share)
    : impl_(std::make_unique<Impl>(std::move(source), config, share)) {}
IndexLoader::~IndexLoader() = default;

Batch IndexLoader::next() { return impl_->next(); }
void IndexLoader::seek(int64_t micro_batch) { impl_->seek(micro_batch); }
int64_t IndexLoader::position() const { return impl_->position(); }

}  // namespace gear::data
