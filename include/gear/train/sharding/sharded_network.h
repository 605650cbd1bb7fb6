#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gear/nn/gate.h"
#include "gear/train/adamw.h"
#include "gear/train/sharding/parallel.h"
#include "gear/train/state.h"

namespace gear::train {

class ShardedUnit;
struct NetworkUnit;

/// A network whose parameters, gradients or averages are divided among ranks, as
/// `parallel.config.shard` says, and whose gradients are summed over all of them. Its blocks
/// (nn::GatedModule) are brought together one by one; what is in no block is whole between
/// begin_pass() and finish_pass(). On one process nothing of this happens.
class ShardedNetwork {
 public:
  /// Takes the values that the module has. Parameters that are not trained stay whole everywhere.
  /// `parallel` must outlive the network. A module that a DividedBuild has divided already is taken
  /// as it is.
  ShardedNetwork(nn::KeptModule& module, const Parallel& parallel);
  /// The moving average of another one, divided like it.
  ShardedNetwork(nn::KeptModule& average, const ShardedNetwork& live);
  /// A network that is used but not trained: all of its parameters are divided. Only where those of
  /// trained ones are, too.
  static ShardedNetwork frozen(nn::KeptModule& module, const Parallel& parallel);
  ~ShardedNetwork();
  ShardedNetwork(ShardedNetwork&&) noexcept;

  /// Parameters and buffers under their registered names, in their order, as this rank holds them:
  /// whole, or 1-D pieces that shards() places.
  NamedTensors tensors() const;
  const std::map<std::string, Shard>& shards() const { return shards_; }
  TensorGroup state(const std::string& name) const;
  /// What the optimizer works on, named "<owner>.<registered name>".
  std::vector<NamedParameter> trained(const std::string& owner) const;

  /// Around the use of the network for a micro-batch of a step, `last` the last of it.
  void begin_pass(bool last);
  /// Sums gradients over the ranks; call it once they are all there.
  void finish_pass();
  /// After the last pass: gives trained() the sums over passes and ranks.
  void hand_out_gradients();
  /// Instead of that, when no update will follow.
  void discard_gradients();
  /// Norms of the gradients of trained(), over all ranks that hold pieces, in its order; of those
  /// that have one. A collective.
  std::vector<Tensor> gradient_norms() const;
  /// Marks the pieces among the moments of trained(owner).
  void place_moments(const std::string& owner, TensorGroup& optimizer) const;
  /// After trained() has changed: an update, a loaded checkpoint.
  void spread_update();

  /// Around another use, like sampling, which all ranks make alike: blocks are brought together as
  /// they run, what is in no block stands whole. A collective.
  void open();
  void close();

 private:
  ShardedNetwork(nn::KeptModule& module, const Parallel& parallel, bool is_average,
                 std::vector<std::string> names);
  void make_units();
  std::shared_ptr<ShardedUnit> sharded(NetworkUnit& unit) const;
  std::vector<Tensor> norms_of_whole_gradients() const;

  nn::KeptModule& module_;
  const Parallel& parallel_;
  bool is_average_;
  std::vector<std::string> trained_names_;
  std::vector<std::shared_ptr<ShardedUnit>> units_;  // none on one process
  std::shared_ptr<ShardedUnit> root_;                // the last of them: what is in no block
  std::map<std::string, Shard> shards_;
};

}  // namespace gear::train
