#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "train/save_plan.h"

namespace gear::train {

/// Host copies of what a rank writes. Their memory is kept for the next time.
class Snapshot {
 public:
  /// The plan with copies in the place of the live tensors, which may change from now on. The
  /// copies hold until the next call. With the plan of the last time nothing but bytes are copied.
  std::shared_ptr<const SavePlan> take(const std::shared_ptr<const SavePlan>& plan);

 private:
  /// Bytes that are copied as they are.
  struct PlainCopy {
    void* to;
    const void* from;
    size_t bytes;
  };

  void prepare(const SavePlan& plan);
  void reserve(int64_t bytes, bool pinned);
  void add_copy(const Segment& live, const Tensor& copy);
  void copy_plain() const;

  Tensor buffer_;  // bytes
  bool pinned_ = false;
  c10::Device device_{c10::kCPU};  // of the live tensors, one that is no CPU if there is one
  std::shared_ptr<const SavePlan> plan_, copies_;
  std::vector<PlainCopy> plain_;
  std::vector<std::pair<Segment, Tensor>> others_;  // what LibTorch must copy, and where to
};

}  // namespace gear::train
