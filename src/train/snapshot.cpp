#include "train/snapshot.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace gear::train {
namespace {

constexpr int64_t kAlignment = 64;  // of a segment in the buffer: of any element size, a cache line
constexpr size_t kPieceBytes = size_t{1} << 20;  // of plain copies, which threads share out

int64_t padded(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <class Plan, class Action>
void for_each_segment(Plan& plan, Action&& action) {
  for (auto& file : plan) {
    for (auto& part : file.parts) {
      for (auto& segment : part.segments) action(segment);
    }
  }
}

/// Whether the bytes in memory are those of the elements in their order.
bool is_plain(const Tensor& tensor) {
  return tensor.is_cpu() && tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg();
}

/// Waits for the copies that the current stream of the device makes.
void synchronize(c10::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.getStream(device).synchronize();
}

}  // namespace

std::shared_ptr<const SavePlan> Snapshot::take(const std::shared_ptr<const SavePlan>& plan) {
  if (plan != plan_) {
    prepare(*plan);
    plan_ = plan;
  }
  for (const auto& [live, copy] : others_) copy.copy_(live.elements(), /*non_blocking=*/true);
  copy_plain();
  synchronize(device_);
  return copies_;
}

void Snapshot::prepare(const SavePlan& plan) {
  plan_.reset();
  copies_.reset();
  plain_.clear();
  others_.clear();
  int64_t bytes = 0;
  device_ = c10::kCPU;
  for_each_segment(plan, [&](const Segment& segment) {
    bytes += padded(static_cast<int64_t>(segment.bytes()));
    if (!segment.tensor.is_cpu()) device_ = segment.tensor.device();
  });
  reserve(bytes, /*pinned=*/!device_.is_cpu());

  SavePlan copies = plan;
  int64_t place = 0;
  for_each_segment(copies, [&](Segment& segment) {
    const auto size = static_cast<int64_t>(segment.bytes());
    const Tensor copy = buffer_.narrow(0, place, size).view(segment.tensor.scalar_type());
    add_copy(segment, copy);
    segment = {copy, 0, copy.numel()};
    place += padded(size);
  });
  copies_ = std::make_shared<SavePlan>(std::move(copies));
}

void Snapshot::reserve(int64_t bytes, bool pinned) {
  if (buffer_.defined() && buffer_.numel() >= bytes && pinned_ == pinned) return;
  buffer_ = Tensor();  // first, so that the old one and the new one are never there together
  buffer_ = at::empty({bytes}, at::TensorOptions().dtype(at::kByte).pinned_memory(pinned));
  pinned_ = pinned;
}

void Snapshot::add_copy(const Segment& live, const Tensor& copy) {
  if (!is_plain(live.tensor)) {
    others_.emplace_back(live, copy);
    return;
  }
  auto* to = static_cast<char*>(copy.data_ptr());
  const auto* from = static_cast<const char*>(live.tensor.const_data_ptr()) +
                     static_cast<size_t>(live.begin * live.tensor.element_size());
  for (size_t begin = 0; begin < live.bytes(); begin += kPieceBytes) {
    plain_.push_back({to + begin, from + begin, std::min(kPieceBytes, live.bytes() - begin)});
  }
}

/// Threads meet once, if at all, and not for each tensor: where other programs run, each time may
/// take longer than the copy.
void Snapshot::copy_plain() const {
  constexpr int64_t kWorthThreads = int64_t{64} << 20;
  const auto count = static_cast<int64_t>(plain_.size());
  const int64_t grain = buffer_.numel() < kWorthThreads ? count : 1;
  at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const PlainCopy& piece = plain_[static_cast<size_t>(i)];
      std::memcpy(piece.to, piece.from, piece.bytes);
    }
  });
}

}  // namespace gear::train
