#include "gear/train/state.h"

namespace gear::train {

at::IntArrayRef TensorGroup::global_shape(const std::string& tensor_name,
                                          const Tensor& tensor) const {
  const auto shard = shards.find(tensor_name);
  return shard == shards.end() ? tensor.sizes() : at::IntArrayRef(shard->second.shape);
}

TensorGroup module_group(const std::string& name, const torch::nn::Module& module) {
  TensorGroup group{name, {}};
  for (const auto& item : module.named_parameters()) {
    group.tensors.emplace_back(item.key(), item.value());
  }
  for (const auto& item : module.named_buffers()) {
    group.tensors.emplace_back(item.key(), item.value());
    group.buffers.insert(item.key());
  }
  return group;
}

}  // namespace gear::train
