#include "cli/launch.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <vector>

#include "gear/core/cuda_info.h"
#include "gear/core/error.h"
#include "gear/dist/launcher.h"
#include "gear/dist/placement.h"

namespace gear::cli {
namespace {

constexpr int64_t kMostProcesses = 4096;  // on one machine

int64_t processes_asked_for(const std::string& text) {
  if (text == "gpu") {
    const auto gpus = static_cast<int64_t>(cuda_devices().size());
    if (gpus == 0) fail("--nproc-per-node gpu: CUDA finds no GPU here; give a number of processes");
    return gpus;
  }
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && stop == end && number >= 1 && number <= kMostProcesses) return number;
  fail("--nproc-per-node: expected a number from 1 to ", kMostProcesses, ", or gpu, got ", text);
}

/// This program and its arguments, as they were given.
std::vector<std::string> own_command() {
  std::vector<std::string> command;
  std::ifstream stream("/proc/self/cmdline");
  for (std::string argument; std::getline(stream, argument, '\0');) command.push_back(argument);
  command.at(0) = std::filesystem::read_symlink("/proc/self/exe").string();
  return command;
}

/// The machines, as SLURM or mpirun have started one process on each of them.
void take_machines_of(const dist::Placement& placed, dist::LaunchOptions& options) {
  if (placed.launcher == "torchrun" || placed.local_world_size > 1) {
    fail("--nproc-per-node: ", placed.launcher, " has started this process as one of ",
         placed.world_size, " ranks already; leave --nproc-per-node out, or let ", placed.launcher,
         " start one process on each machine");
  }
  options.machines = placed.world_size;
  options.machine = placed.rank;
  options.master_address = placed.master_address;
  options.master_port = placed.master_port;
  options.run_id = placed.run_id;
}

/// The machines, as the user tells them to each.
void take_machines_of(const LaunchArguments& arguments, dist::LaunchOptions& options) {
  options.machines = arguments.machines.value_or(1);
  if (options.machines == 1) {
    options.master_port = arguments.master_port.value_or(0);
    return;
  }
  constexpr uint16_t kUsualPort = 29500;  // torchrun's
  if (!arguments.machine) {
    fail("--nnodes ", options.machines,
         " needs --node-rank: which of the machines this is, from 0 "
         "to ",
         options.machines - 1);
  }
  if (*arguments.machine >= options.machines) {
    fail("--node-rank: expected a number from 0 to ", options.machines - 1, ", got ",
         *arguments.machine);
  }
  if (arguments.master_address.empty()) {
    fail("--nnodes ", options.machines,
         " needs --master-addr: the machine of --node-rank 0, the "
         "same on all machines");
  }
  options.machine = *arguments.machine;
  options.master_address = arguments.master_address;
  options.master_port = arguments.master_port.value_or(kUsualPort);
  options.run_id = options.master_address + ":" + std::to_string(options.master_port);
}

}  // namespace

void add_launch_options(CLI::App& command, LaunchArguments& arguments) {
  CLI::Option* processes = command.add_option(
      "--nproc-per-node,--nproc_per_node", arguments.processes,
      "Start so many processes on this machine, that train together; gpu: one for each GPU");
  command
      .add_option("--nnodes", arguments.machines,
                  "On so many machines, on each of which this command is given; under srun or "
                  "mpirun with one task a machine, neither this nor what follows is needed")
      ->check(CLI::Range(1, 1 << 16))
      ->needs(processes);
  command.add_option("--node-rank,--node_rank", arguments.machine, "Which machine this is, from 0")
      ->check(CLI::NonNegativeNumber)
      ->needs(processes);
  command
      .add_option("--master-addr,--master_addr", arguments.master_address,
                  "The machine of --node-rank 0, as the others can reach it")
      ->needs(processes);
  command
      .add_option("--master-port,--master_port", arguments.master_port,
                  "A port there that is free; a single machine finds one itself, else 29500")
      ->check(CLI::Range(1, 65535))
      ->needs(processes);
}

bool is_launcher(const LaunchArguments& arguments) {
  return !arguments.processes.empty() && !dist::is_launched();
}

int launch_ranks(const LaunchArguments& arguments, const std::function<void(int64_t)>& check) {
  dist::LaunchOptions options{.command = own_command(),
                              .processes = processes_asked_for(arguments.processes)};
  const auto placed = dist::placement_from_environment();
  if (placed.world_size > 1) {
    take_machines_of(placed, options);
  } else {
    take_machines_of(arguments, options);
  }
  check(options.machines * options.processes);
  return dist::launch(options);
}

}  // namespace gear::cli
