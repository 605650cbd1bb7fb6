#include "train/sharding/sharded_unit.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

namespace gear::train {
namespace {

std::vector<int64_t> numels_of(const NamedTensors& tensors) {
  std::vector<int64_t> numels;
  for (const auto& [name, tensor] : tensors) numels.push_back(tensor.numel());
  return numels;
}

/// The storage object stays, so all that share it see the memory go and come back.
void free_memory(const Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(storage->allocator()->allocate(0));
  storage->set_nbytes(0);
}

void allocate_memory(const Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  const auto bytes = static_cast<size_t>(tensor.numel()) * tensor.element_size();
  storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}

/// A tensor whose storage says that it has its bytes, so that views of it can be made.
Tensor without_memory(int64_t size, const at::TensorOptions& options) {
  Tensor tensor = at::empty({0}, options);
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous({size});
  tensor.storage().unsafeGetStorageImpl()->set_nbytes(static_cast<size_t>(size) *
                                                      tensor.element_size());
  return tensor;
}

}  // namespace

ShardedUnit::ShardedUnit(NamedTensors parameters, UnitUse use, Parallel parallel)
    : parameters_(std::move(parameters)),
      use_(use),
      parallel_(std::move(parallel)),
      layout_(numels_of(parameters_), parallel_.parts.size()),
      trained_(parameters_),
      has_gradient_(parameters_.size(), false) {
  if (is_divided()) divide();
}

void ShardedUnit::add_prefix(const std::string& prefix) {
  std::map<std::string, Shard> shards;
  for (auto& [name, shard] : shards_) shards[prefix + name] = std::move(shard);
  shards_ = std::move(shards);
  for (NamedTensors* tensors : {&parameters_, &trained_}) {
    for (auto& entry : *tensors) entry.first = prefix + entry.first;
  }
}

bool ShardedUnit::is_divided() const { return parallel_.config.shard != ShardMode::kNone; }

bool ShardedUnit::comes_and_goes() const {
  return parallel_.config.shard == ShardMode::kFull || (is_divided() && use_ == UnitUse::kAverage);
}

void ShardedUnit::divide() {
  const at::NoGradGuard no_grad;
  const auto options = parameters_.front().second.options().requires_grad(false);
  part_ = at::zeros({layout_.part_size()}, options);
  whole_ = without_memory(layout_.size(), options);
  if (!comes_and_goes()) {
    allocate_memory(whole_);
    whole_.zero_();
  }
  for (int64_t i = 0; i < layout_.tensors(); ++i) {
    keep_piece(i);
    Tensor& parameter = parameters_[static_cast<size_t>(i)].second;
    const auto view = whole_.narrow(0, layout_.begin(i), layout_.numel(i)).view(parameter.sizes());
    if (!comes_and_goes()) view.copy_(parameter);
    parameter.set_data(view);
  }
  if (comes_and_goes()) {
    free_memory(whole_);
    memory_ = Memory::kFree;
  }
}

/// Copies this rank's elements of a parameter.
void ShardedUnit::keep_piece(int64_t index) {
  auto& [name, tensor] = trained_[static_cast<size_t>(index)];
  const auto piece = layout_.piece(index, parallel_.parts.rank());
  const auto own = part_.narrow(0, piece.place, piece.count);
  own.copy_(tensor.reshape({-1}).narrow(0, piece.offset, piece.count));
  shards_[name] = {.shape = tensor.sizes().vec(), .offset = piece.offset};
  tensor = own.detach().requires_grad_(true);
}

void ShardedUnit::set_neighbours(ShardedUnit* previous, ShardedUnit* next) {
  previous_ = previous;
  next_ = next;
}

void ShardedUnit::start_gather() {
  if (memory_ != Memory::kFree) return;
  memory_ = Memory::kGathering;
  if (parallel_.config.bf16_gathers) {
    received_ = at::empty({layout_.size()}, part_.options().dtype(at::kBFloat16));
    gathering_ = parallel_.parts.start_gather(received_, part_.to(at::kBFloat16));
  } else {
    allocate_memory(whole_);
    gathering_ = parallel_.parts.start_gather(whole_, part_);
  }
}

void ShardedUnit::gather() {
  if (memory_ == Memory::kWhole) return;
  start_gather();
  gathering_.wait();
  memory_ = Memory::kWhole;
  if (!received_.defined()) return;
  if (comes_and_goes()) allocate_memory(whole_);
  whole_.copy_(std::exchange(received_, {}));
}

void ShardedUnit::pin() {
  gather();
  is_pinned_ = true;
}

void ShardedUnit::unpin() {
  is_pinned_ = false;
  release();
}

void ShardedUnit::release() {
  if (!comes_and_goes() || is_pinned_) return;
  if (memory_ == Memory::kGathering) gather();
  if (memory_ == Memory::kWhole) free_memory(whole_);
  memory_ = Memory::kFree;
}

void ShardedUnit::spread_update() {
  if (!is_divided() || comes_and_goes()) return;
  const at::NoGradGuard no_grad;
  parallel_.parts.start_gather(whole_, part_).wait();
}

void ShardedUnit::before_forward() {
  gather();
  if (next_ != nullptr) next_->start_gather();
}

void ShardedUnit::before_backward() {
  gather();
  if (previous_ != nullptr) previous_->start_gather();
}

void ShardedUnit::after_backward() {
  // A frozen unit passes gradients on without having any.
  if (parameters_.front().second.requires_grad() && reduces_now()) reduce();
  release();
}

bool ShardedUnit::reduces_now() const {
  return last_pass_ || comes_and_goes() || parallel_.config.deterministic;
}

/// The gradients of the parameters in one buffer; they have none afterwards. Undefined: none had.
Tensor ShardedUnit::take_gradients() {
  Tensor flat;
  for (int64_t i = 0; i < layout_.tensors(); ++i) {
    Tensor& parameter = parameters_[static_cast<size_t>(i)].second;
    if (!parameter.grad().defined()) continue;
    if (!flat.defined()) flat = at::zeros({layout_.size()}, parameter.grad().options());
    flat.narrow(0, layout_.begin(i), layout_.numel(i))
        .view(parameter.sizes())
        .copy_(parameter.grad());
    parameter.mutable_grad().reset();
    has_gradient_[static_cast<size_t>(i)] = true;
  }
  return flat;
}

void ShardedUnit::reduce() {
  const at::NoGradGuard no_grad;
  const Tensor gradients = take_gradients();
  if (!gradients.defined()) return;
  if (parallel_.config.deterministic) {
    add_in_order_of_ranks(gradients);
  } else {
    start_sum(gradients);
  }
}

void ShardedUnit::start_sum(const Tensor& gradients) {
  sent_ = gradients;
  if (parallel_.parts.is_single()) {
    sum_ = gradients;
    reducing_ = parallel_.replicas.start_sum(sum_);
  } else {
    sum_ = at::empty({layout_.part_size()}, gradients.options());
    reducing_ = parallel_.parts.start_reduce_scatter(sum_, sent_);
  }
}

/// The ranks have the micro-batches r, r + W, r + 2 W, ..., so pass for pass this is the order in
/// which one process would add them.
void ShardedUnit::add_in_order_of_ranks(const Tensor& gradients) {
  const dist::World& world = parallel_.world;
  const int64_t size = layout_.part_size();
  Tensor sent = gradients;  // piece r: what rank r keeps of it
  if (layout_.parts() < world.size()) {
    sent = gradients.view({layout_.parts(), size}).repeat({world.size() / layout_.parts(), 1});
  }
  const auto received = at::empty({world.size(), size}, gradients.options());
  world.exchange(received.view(-1), sent.view(-1));
  for (int64_t rank = 0; rank < world.size(); ++rank) add(received.select(0, rank));
}

void ShardedUnit::add(const Tensor& sum) {
  if (gradient_.defined()) {
    gradient_.add_(sum);
  } else {
    gradient_ = sum.clone();
  }
}

void ShardedUnit::finish_pass() {
  const at::NoGradGuard no_grad;
  if (!sum_.defined() && reduces_now()) reduce();
  reducing_.wait();
  if (sum_.defined()) {
    if (!parallel_.parts.is_single()) parallel_.replicas.sum(sum_);
    add(sum_);
  }
  sum_.reset();
  sent_.reset();
  release();
}

void ShardedUnit::hand_out_gradients() {
  if (!gradient_.defined()) return;
  for (int64_t i = 0; i < layout_.tensors(); ++i) {
    const auto index = static_cast<size_t>(i);
    if (!has_gradient_[index]) continue;
    Tensor& tensor = trained_[index].second;
    const auto piece = layout_.piece(i, parallel_.parts.rank());
    tensor.mutable_grad() = gradient_.narrow(0, piece.place, piece.count).view(tensor.sizes());
    has_gradient_[index] = false;
  }
  gradient_.reset();
}

void ShardedUnit::discard_gradients() {
  gradient_.reset();
  has_gradient_.assign(has_gradient_.size(), false);
}

std::map<std::string, Tensor> ShardedUnit::norms_of_whole_gradients() const {
  const at::NoGradGuard no_grad;
  const int64_t rank = parallel_.parts.rank();
  Tensor part;  // the gradients handed out, in one piece again
  for (int64_t i = 0; i < layout_.tensors(); ++i) {
    const Tensor& gradient = trained_[static_cast<size_t>(i)].second.grad();
    if (!gradient.defined()) continue;
    if (!part.defined()) part = at::zeros({layout_.part_size()}, gradient.options());
    const auto piece = layout_.piece(i, rank);
    part.narrow(0, piece.place, piece.count).copy_(gradient.view(-1));
  }
  if (!part.defined()) return {};
  const auto whole = at::empty({layout_.size()}, part.options());
  parallel_.parts.start_gather(whole, part).wait();
  std::map<std::string, Tensor> norms;
  for (int64_t i = 0; i < layout_.tensors(); ++i) {
    const auto& [name, tensor] = trained_[static_cast<size_t>(i)];
    if (!tensor.grad().defined()) continue;
    norms[name] = whole.narrow(0, layout_.begin(i), layout_.numel(i)).norm();
  }
  return norms;
}

}  // namespace gear::train
