#pragma once

#include <map>
#include <string>
#include <vector>

#include "gear/core/tensor.h"
#include "gear/dist/flat_layout.h"
#include "gear/nn/gate.h"
#include "gear/train/sharding/parallel.h"
#include "gear/train/state.h"

namespace gear::train {

/// Whether a unit is trained, or an average that others are made of.
enum class UnitUse { kTrained, kAverage };

/// Parameters that are brought together, let go and reduced at once: those of a block, or what of a
/// network is in no block.
///
/// Where they are divided they are views of one flat buffer, of which this rank keeps a piece for
/// the optimizer to work on. With ShardMode::kFull, and for averages, the memory of the buffer
/// exists only between gather() and release(); the views, also those that a graph has saved, stay
/// valid. Source: arXiv:1910.02054, arXiv:2304.11277.
class ShardedUnit : public nn::ParameterKeeper {
 public:
  /// Takes the values that the parameters have, whose memory it frees one after the other.
  ShardedUnit(NamedTensors parameters, UnitUse use, Parallel parallel);

  /// Puts `prefix` in front of all names.
  void add_prefix(const std::string& prefix);

  void before_forward() override;
  void after_forward() override { release(); }
  void before_backward() override;
  void after_backward() override;

  /// The units needed before and after this one in a forward pass; their gathers start early.
  void set_neighbours(ShardedUnit* previous, ShardedUnit* next);

  void gather();
  void release();
  /// Keeps the parameters whole until unpin(), whatever is released in between.
  void pin();
  void unpin();
  /// Brings changed pieces to all ranks where each holds all parameters.
  void spread_update();

  /// Announces backward passes, those of a step's last micro-batch or of an earlier one.
  void begin_pass(bool last) { last_pass_ = last; }
  /// Ends them: what after_backward() has not reduced is reduced now, and all of it awaited.
  void finish_pass();
  /// Gives the sums over all passes and ranks to the parameters of the optimizer.
  void hand_out_gradients();
  /// Instead of that, when no update will follow.
  void discard_gradients();

  /// Of the gradients handed out, by name, computed as one process would. A collective.
  std::map<std::string, Tensor> norms_of_whole_gradients() const;

  /// What the optimizer works on, under the names given: pieces, or whole parameters.
  const NamedTensors& trained() const { return trained_; }
  /// Where the pieces stand; empty where `trained` are whole.
  const std::map<std::string, Shard>& shards() const { return shards_; }

 private:
  bool is_divided() const;
  bool comes_and_goes() const;
  bool reduces_now() const;
  void divide();
  void keep_piece(int64_t index);
  void start_gather();
  void reduce();
  Tensor take_gradients();
  void start_sum(const Tensor& gradients);
  void add_in_order_of_ranks(const Tensor& gradients);
  void add(const Tensor& sum);

  NamedTensors parameters_;  // of the module
  UnitUse use_;
  const Parallel parallel_;
  dist::FlatLayout layout_;
  NamedTensors trained_;
  std::map<std::string, Shard> shards_;

  Tensor whole_;     // [parts * part_size]; undefined where nothing is divided
  Tensor part_;      // [part_size]
  Tensor received_;  // [parts * part_size] bfloat16, while such a gather runs
  dist::Pending gathering_;
  bool is_pinned_ = false;
  enum class Memory { kFree, kGathering, kWhole } memory_ = Memory::kWhole;
  ShardedUnit* previous_ = nullptr;
  ShardedUnit* next_ = nullptr;

  bool last_pass_ = true;
  std::vector<bool> has_gradient_;  // of each parameter, in this step
  Tensor sent_, sum_;               // of a reduction that runs
  dist::Pending reducing_;
  Tensor gradient_;  // [part_size], over the passes so far
};

}  // namespace gear::train
