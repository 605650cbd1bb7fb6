#include "train/snapshot.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

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

/// Bytes that are copied as they are.
struct PlainCopy {
  void* to;
  const void* from;
  size_t bytes;
  Tensor source;  // keeps `from` alive
};

constexpr size_t kPieceBytes = size_t{1} << 20;

/// In pieces that threads can share out.
void add_pieces(const PlainCopy& copy, std::vector<PlainCopy>& pieces) {
  for (size_t begin = 0; begin < copy.bytes; begin += kPieceBytes) {
    pieces.push_back({static_cast<char*>(copy.to) + begin,
                      static_cast<const char*>(copy.from) + begin,
                      std::min(kPieceBytes, copy.bytes - begin), copy.source});
  }
}

/// Threads meet once, if at all, and not for each tensor: where other programs run, each time may
/// take longer than the copy.
void copy_all(const std::vector<PlainCopy>& pieces, int64_t bytes) {
  constexpr int64_t kWorthThreads = int64_t{64} << 20;
  const auto count = static_cast<int64_t>(pieces.size());
  at::parallel_for(0, count, bytes < kWorthThreads ? count : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const PlainCopy& piece = pieces[static_cast<size_t>(i)];
      std::memcpy(piece.to, piece.from, piece.bytes);
    }
  });
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
  std::vector<PlainCopy> plain;
  int64_t place = 0;
  for (PlannedFile& file : copies) {
    for (PlannedPart& part : file.parts) {
      for (Segment& segment : part.segments) {
        const auto size = static_cast<int64_t>(segment.bytes());
        const Tensor copy = buffer_.narrow(0, place, size).view(segment.tensor.scalar_type());
        const Tensor values = segment.elements();
        if (values.is_cpu() && values.is_contiguous()) {
          add_pieces({copy.data_ptr(), values.const_data_ptr(), copy.nbytes(), values}, plain);
        } else {
          copy.copy_(values, /*non_blocking=*/true);
        }
        segment = {copy, 0, copy.numel()};
        place += padded(size);
      }
    }
  }
  copy_all(plain, bytes);
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
