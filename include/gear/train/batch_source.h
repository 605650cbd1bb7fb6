#pragma once

#include <c10/core/Device.h>

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

/// Any loader with next() and seek(), for example data::Loader. Hands its batches out on `device`.
template <class Loader>
class LoaderSource : public BatchSource {
 public:
  LoaderSource(Loader& loader, c10::Device device) : loader_(loader), device_(device) {}
  data::Batch next() override {
    data::Batch batch = loader_.next();
    for (Tensor* part : {&batch.images, &batch.labels, &batch.tokens}) {
      if (part->defined()) *part = part->to(device_, /*non_blocking=*/true);
    }
    return batch;
  }
  void seek(int64_t micro_batch) override { loader_.seek(micro_batch); }

 private:
  Loader& loader_;
  c10::Device device_;
};

}  // namespace gear::train
