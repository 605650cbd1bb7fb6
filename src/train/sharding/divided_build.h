#pragma once

#include <c10/core/Device.h>

#include "gear/nn/gate.h"
#include "gear/train/sharding/parallel.h"

namespace gear::train {

/// While it lives, networks that this thread builds go to the device and are divided as they grow:
/// at any time no more than one block of them is whole, and what is in no block. ShardedNetwork
/// then takes them as they are. Only where parts of networks are made at all (divides_parameters).
class DividedBuild {
 public:
  DividedBuild(const Parallel& parallel, c10::Device device);

 private:
  nn::BuildScope scope_;
};

/// Whether a network consists of units on these ranks, rather than of whole parameters.
bool has_units(const Parallel& parallel);
/// Whether the parameters of units are brought together only for their use.
bool divides_parameters(const Parallel& parallel);

}  // namespace gear::train
