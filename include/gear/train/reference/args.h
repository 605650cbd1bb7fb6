#pragma once

#include <string>

#include "gear/io/pickle.h"
#include "gear/io/torch_writer.h"
#include "gear/train/run_config.h"

namespace gear::train::reference {

/// The configuration that the flags in `args` of a training file of the Python reference mean, a
/// dictionary or argparse.Namespace. Flags that are absent or None have the reference's defaults.
/// `source` begins the message of an Error about a flag.
///
/// Flags cannot say everything that gear's configuration can, so gear's own files also hold it
/// whole, under "gear_config"; then that is what is read.
RunConfig config_from_args(const io::PickleValue& args, const std::string& source);

/// The flags that mean `config`, as far as the reference has them, and "gear_config".
io::TorchValue::Dict args_from_config(const RunConfig& config);

}  // namespace gear::train::reference
