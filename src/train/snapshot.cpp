#include "train/snapshot.h"

#include <ATen/ops/empty.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdint>

namespace gear::train {
namespace {

constexpr int64_t kAlignment = 64;  // of a segment in the buffer: of any element size, a cache line

int64_t padded(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <class Action>
void for_each_segment(const SavePlan& plan, Action&& action) {
  for (const PlannedFile& file : plan) {
    for (const PlannedPart& part : file.parts) {
      for (const Segment& segment : part.segments) action(segment);
    }
  }
}

/// Waits for the copies that the current stream of the device makes.
void synchronize(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.getStream(device).synchronize();
}

}  // namespace

SavePlan Snapshot::take(const SavePlan& plan) {
  int64_t bytes = 0;
  c10::Device device = c10::kCPU;
  for_each_segment(plan, [&](const Segment& segment) {
    bytes += padded(static_cast<int64_t>(segment.bytes()));
    if (!segment.tensor.is_cpu()) device = segment.tensor.device();
  });
  reserve(bytes, /*pinned=*/!device.is_cpu());

  SavePlan copies = plan;
  int64_t place = 0;
  for (PlannedFile& file : copies) {
    for (PlannedPart& part : file.parts) {
      for (Segment& segment : part.segments) {
        const auto size = static_cast<int64_t>(segment.bytes());
        const Tensor copy = buffer_.narrow(0, place, size).view(segment.tensor.scalar_type());
        copy.copy_(segment.elements(), /*non_blocking=*/true);
        segment = {copy, 0, copy.numel()};
        place += padded(size);
      }
    }
  }
  synchronize(device);
  return copies;
}

void Snapshot::reserve(int64_t bytes, bool pinned) {
  if (buffer_.defined() && buffer_.numel() >= bytes && pinned_ == pinned) return;
  buffer_ = Tensor();  // first, so that the old one and the new one are never there together
  buffer_ = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(pinned));
  pinned_ = pinned;
}

}  // namespace gear::train
