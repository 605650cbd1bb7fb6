#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gear/io/safetensors_layout.h"
#include "gear/train/checkpoint.h"

namespace gear::train {

/// Elements of a tensor, counted in it flattened row by row.
struct Segment {
  Tensor tensor;
  int64_t begin = 0;
  int64_t end = 0;

  uint64_t bytes() const { return static_cast<uint64_t>(end - begin) * tensor.element_size(); }
  /// Those elements as a tensor of one dimension; a copy only where the tensor is not contiguous.
  Tensor elements() const;
};

/// Consecutive bytes of a file that one rank writes and hashes.
struct PlannedPart {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  std::vector<Segment> segments;
};

/// A group as a file, and what this rank writes of it.
struct PlannedFile {
  std::string group;
  std::vector<io::TensorOutline> outlines;  // of whole tensors, the same on every rank
  io::SafetensorsLayout layout;
  std::vector<PlannedPart> parts;  // by rising offset

  std::string name() const { return group + ".safetensors"; }
};

using SavePlan = std::vector<PlannedFile>;

/// All that is written into a checkpoint.
struct SaveJob {
  RunPosition position;
  std::string config_yaml;
  std::shared_ptr<const SavePlan> plan;
  std::function<void()> before_visible{};  // see CheckpointWriter::save
};

/// Divides the bytes of all files among the ranks, so that each byte is written by one rank that
/// holds it, and all ranks write about equally much.
SavePlan plan_save(const std::vector<TensorGroup>& groups, const SaveLayout& layout);

/// Whether a plan for the one is also a plan for the other: the same names over the same memory.
bool same_tensors(const std::vector<TensorGroup>& a, const std::vector<TensorGroup>& b);

}  // namespace gear::train
