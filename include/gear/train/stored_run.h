#pragma once

#include <vector>

#include "gear/train/checkpoint.h"
#include "gear/train/run_config.h"
#include "gear/train/state.h"

namespace gear::train {

/// A run as it stands in a file of whatever format: what `gear convert` reads and writes.
struct StoredRun {
  RunConfig config;
  RunPosition position;
  std::vector<TensorGroup> groups;  ///< named as in a checkpoint; tensors may lie over mapped files

  const TensorGroup* find(const std::string& name) const {
    for (const TensorGroup& group : groups) {
      if (group.name == name) return &group;
    }
    return nullptr;
  }
};

}  // namespace gear::train
