#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/dist/world.h"

namespace gear::train {

/// Named scalars of one step, in the order they were added. Values stay on the device as 0-d
/// tensors until `host_values`, so recording them costs no synchronisation. A name may stand only
/// once.
class Metrics {
 public:
  void add(const std::string& name, const Tensor& value);  // one element, detached here
  void add(const std::string& name, double value);
  void append(const Metrics& other);
  /// Adds `weight` times the values of `other` to the entries of the same name (missing ones start
  /// at 0): averages micro-batches.
  void accumulate(const Metrics& other, double weight);

  /// Those that each rank has, under the same names. A collective.
  std::vector<Metrics> of_all_ranks(const dist::World& world) const;

  /// All values with one transfer per device. Waits for the device.
  std::vector<std::pair<std::string, double>> host_values() const;
  const std::vector<std::pair<std::string, Tensor>>& values() const { return values_; }

 private:
  std::vector<std::pair<std::string, Tensor>> values_;
};

}  // namespace gear::train
