#pragma once

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace gear::train::testing {

/// Counts the bytes of all CPU tensors that this process makes from its first use on. Tensors over
/// mapped files do not count.
class CountedMemory final : public c10::Allocator {
 public:
  static CountedMemory& instance() {
    static auto* memory = new CountedMemory;  // outlives every tensor
    return *memory;
  }

  int64_t bytes() const { return bytes_; }
  int64_t peak() const { return peak_; }  ///< since forget_peak()
  void forget_peak() { peak_ = bytes_.load(); }

  c10::DataPtr allocate(size_t count) override {
    auto* held = new Held{below_->allocate(count), static_cast<int64_t>(count), this};
    const int64_t now = bytes_ += held->bytes;
    int64_t most = peak_;
    while (most < now && !peak_.compare_exchange_weak(most, now)) {
    }
    return {held->data.get(), held, &give_back, c10::kCPU};
  }
  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }

 private:
  struct Held {
    c10::DataPtr data;
    int64_t bytes;
    CountedMemory* memory;
  };

  CountedMemory() : below_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, /*priority=*/1); }

  static void give_back(void* context) {
    const std::unique_ptr<Held> held(static_cast<Held*>(context));
    held->memory->bytes_ -= held->bytes;
  }

  c10::Allocator* below_;
  std::atomic<int64_t> bytes_ = 0, peak_ = 0;
};

}  // namespace gear::train::testing
