#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace gear::cli {

/// How many processes train together, in torchrun's words.
struct LaunchArguments {
  std::string processes;  ///< on this machine: a number, or "gpu" for one a GPU; empty: this one
  std::optional<int64_t> machines;
  std::optional<int64_t> machine;
  std::string master_address;
  std::optional<uint16_t> master_port;
};

void add_launch_options(CLI::App& command, LaunchArguments& arguments);

/// Whether this process is to start the ranks and is none of them.
bool is_launcher(const LaunchArguments& arguments);

/// Runs this command once for every rank of this machine and returns the exit code of them all.
/// `check` is called with the number of all ranks before any is started, so that what it throws is
/// said once. Throws Error when the arguments contradict each other, or the launcher of this
/// process.
int launch_ranks(const LaunchArguments& arguments, const std::function<void(int64_t)>& check);

}  // namespace gear::cli
