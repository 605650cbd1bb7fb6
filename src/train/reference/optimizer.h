#pragma once

#include <string>
#include <vector>

#include "gear/io/pickle.h"
#include "gear/io/torch_writer.h"
#include "gear/train/adamw.h"
#include "gear/train/optimizer_config.h"

namespace gear::train::reference {

/// The moments of a state_dict of PyTorch's AdamW, `{"state": {i: {step, exp_avg, exp_avg_sq}},
/// "param_groups": [...]}`, as the checkpoint group `name`. State i belongs to the i-th of
/// `parameters`; one without state has not been trained yet and gets zeros. `source` begins the
/// message of an Error about a shape or a state that belongs to no parameter.
TensorGroup optimizer_group(const io::PickleValue& state_dict, const std::string& name,
                            const std::vector<NamedParameter>& parameters,
                            const std::string& source);

/// What the state_dict says besides the moments.
struct OptimizerSettings {
  OptimizerConfig config;
  double base_lr = 0.0;
  double lr = 0.0;                ///< of the next update
  int64_t frozen_parameters = 0;  ///< listed after the trained ones, without state
};

/// The other way round. A parameter that has taken no step gets no state, as in PyTorch.
io::TorchValue optimizer_state_dict(const TensorGroup& group,
                                    const std::vector<NamedParameter>& parameters,
                                    const OptimizerSettings& settings);

/// State of the reference's LambdaLR after `steps` updates.
io::TorchValue schedule_state_dict(const OptimizerSettings& settings, int64_t steps);

}  // namespace gear::train::reference
