#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

#include "dist/monitor.h"
#include "gear/dist/world.h"

namespace gear::dist {

using Store = c10::intrusive_ptr<c10d::Store>;
using Backend = c10::intrusive_ptr<c10d::Backend>;

/// What the ranks of a world share.
struct World::Group {
  Placement placement;
  ConnectOptions options;
  int64_t rank = 0;
  int64_t size = 1;
  // In this order, since each needs the one before it until its end.
  Store store;                       // of this world alone; rank 0 serves it for the whole run
  std::shared_ptr<Monitor> monitor;  // of this process
  Backend backend;                   // Gloo or NCCL
  mutable std::atomic<int64_t> shared_texts{0};  // how often share() was called
  mutable std::atomic<int64_t> splits{0};
  mutable std::atomic<int64_t> side_boards{0};

  Group() = default;
  ~Group() {
    if (backend) backend->shutdown();
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
};

/// The process group of these ranks, who meet in its store: NCCL for a GPU, Gloo for the CPU.
Backend make_backend(const World::Group& group);

/// A function that tells whether the GPU has got past all that its current stream has to do now.
std::function<bool()> mark_gpu();

}  // namespace gear::dist
