#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <vector>

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
  Store store;                                   // of this world alone
  Backend backend;                               // Gloo or NCCL
  mutable std::atomic<int64_t> shared_texts{0};  // how often share() was called
  mutable std::atomic<int64_t> splits{0};
};

/// The process group of `size` ranks that meet in `store`: NCCL for a GPU, Gloo for the CPU.
Backend make_backend(const Store& store, int64_t rank, int64_t size, const ConnectOptions& options);

}  // namespace gear::dist
