#pragma once

#include "gear/io/pickle.h"
#include "io/weight_names.h"

namespace gear::io {

/// Whether `root` is a module that torch.jit.save wrote. Its code is never looked at.
bool is_script_module(const PickleValue& root);

/// Parameters and buffers of such a module, named as in its state_dict: the attributes that lead to
/// them, joined by dots.
PickledMap script_tensors(const PickleValue& root);

}  // namespace gear::io
