#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gear/io/torch_writer.h"
#include "gear/train/network_parts.h"
#include "gear/train/stored_run.h"

namespace gear::train::reference {

/// What a key of the Python reference's training files is here: "vq_ema" is "tokenizer_ema"; the
/// key of a group the other way round. An optimizer of the transformer is `opt` where it trains
/// alone (recipe ar), `opt_ar` elsewhere.
std::string key_of_group(const std::string& group, RecipeKind recipe);

/// Moments of the optimizers in a training file of the reference, as checkpoint groups. `config`
/// gives the parameters and their order. None for files without optimizers.
std::vector<TensorGroup> optimizer_groups(const io::PickleValue& root, const RunConfig& config,
                                          const std::string& source);

/// `steps` of such a file; 0 when it has none.
int64_t steps_of(const io::PickleValue& root);

/// The run in the layout of the reference's training files, for io::write_torch: name-to-tensor
/// maps `vq`, `vq_ema`, `discriminator`, `ar`, `ema`, `projectors`, optimizers and schedules,
/// `args`, `steps`, and `stage` for a tokenizer alone.
io::TorchValue checkpoint_value(const StoredRun& run);

/// Groups that this layout has no place for, of those that `run` has.
std::vector<std::string> groups_without_place(const StoredRun& run);

}  // namespace gear::train::reference
