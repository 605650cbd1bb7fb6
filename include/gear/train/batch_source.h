#pragma once

#include <cstdint>

#include "gear/data/batch.h"

namespace gear::train {

/// Micro-batches in an order that depends on nothing but the position.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual data::Batch next() = 0;
  virtual void seek(int64_t micro_batch) = 0;  ///< position of the next one, counted from the start
};

/// Any loader with next() and seek(), for example data::Loader.
template <class Loader>
class LoaderSource : public BatchSource {
 public:
  explicit LoaderSource(Loader& loader) : loader_(loader) {}
  data::Batch next() override { return loader_.next(); }
  void seek(int64_t micro_batch) override { loader_.seek(micro_batch); }

 private:
  Loader& loader_;
};

}  // namespace gear::train
