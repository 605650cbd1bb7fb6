#include "gear/train/plan.h"

#include <CLI/App.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/print.h"
#include "gear/config/config.h"
#include "gear/core/device.h"
#include "gear/core/text.h"

namespace gear::cli {
namespace {

struct PlanOptions {
  std::string config;
  std::vector<std::string> overrides;
  int64_t world = 1;
  int64_t ranks_per_node = 8;
  double memory_gb = 0.0;
  double bandwidth_gb = 25.0;
  double tflops = 100.0;
};

constexpr double kGiga = 1e9;

std::string row(const std::string& name, const std::string& parameters, const std::string& alone,
                const std::string& rank, const std::string& traffic) {
  char text[160];
  std::snprintf(text, sizeof text, "%-16s %14s %14s %14s %16s", name.c_str(), parameters.c_str(),
                alone.c_str(), rank.c_str(), traffic.c_str());
  return text;
}

void print_networks(const train::RunPlan& plan) {
  print_line(row("network", "parameters", "one process", "a rank", "sent in a step"));
  for (const train::NetworkPlan& network : plan.networks) {
    print_line(row(network.name, format_count(network.parameters),
                   format_bytes(network.total_bytes), format_bytes(network.rank_bytes),
                   format_bytes(network.traffic_bytes)));
  }
  print_line(row("together", "", format_bytes(plan.total_bytes()), format_bytes(plan.rank_bytes()),
                 format_bytes(plan.traffic_bytes())));
}

void print_memory(const train::RunConfig& config, const train::RunPlan& plan, double available) {
  print_line("memory of a rank: " + format_bytes(plan.peak_bytes()) +
             " at most: " + format_bytes(plan.rank_bytes()) + " for trained networks, " +
             format_bytes(plan.frozen_bytes) + " for frozen ones, about " +
             format_bytes(plan.activation_bytes) + " for activations (" +
             std::to_string(plan.micro_batch_size) +
             " images at a time), the rest brought "
             "together during a step");
  if (plan.peak_bytes() <= available) {
    print_line("it fits in " + format_bytes(available));
    return;
  }
  print_line("it does not fit in " + format_bytes(available) + "; best first:");
  for (const std::string& way : train::ways_to_fit(config, plan)) print_line("  - " + way);
}

void print_time(const train::RunPlan& plan, const PlanOptions& options) {
  const double compute = plan.flops / (options.tflops * 1e12);
  const double sending = plan.traffic_bytes() / (options.bandwidth_gb * kGiga);
  char text[240];
  std::snprintf(text, sizeof text,
                "time of a step: about %.3g s of computing (%.3g TFLOP at %.4g TFLOP/s), %.3g s of "
                "sending (at %.4g GB/s), beside each other where they overlap",
                compute, plan.flops / 1e12, options.tflops, sending, options.bandwidth_gb);
  print_line(text);
}

void print_plan(const PlanOptions& options) {
  const auto config = config::load<train::RunConfig>(options.config, options.overrides);
  const auto plan = train::plan_run(config, options.world, options.ranks_per_node);
  const double available = options.memory_gb > 0.0
                               ? options.memory_gb * kGiga
                               : available_memory(resolve_device(config.device));
  print_line(std::to_string(plan.world_size) + " ranks, parallel.shard " +
             config::detail::format(config.parallel.shard) + ": what is divided stands on " +
             std::to_string(plan.parts) + " of them together; " + std::to_string(plan.passes) +
             " x " + std::to_string(plan.micro_batch_size) + " images a rank and step");
  print_networks(plan);
  print_memory(config, plan, available);
  print_time(plan, options);
}

}  // namespace

void add_plan_command(CLI::App& app) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* command = app.add_subcommand(
      "plan", "Count memory and traffic of a run on many ranks, without running it.");
  command->add_option("config", options->config, "YAML file of the run")->required();
  command->add_option("--set", options->overrides, "Override: a.b=value")->type_name("KEY=VALUE");
  command->add_option("--world", options->world, "Ranks")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--nproc-per-node", options->ranks_per_node, "Ranks on a machine")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      ->add_option("--memory", options->memory_gb, "GB that a rank may use; 0: what is free here")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--bandwidth", options->bandwidth_gb, "GB/s that a rank sends")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--tflops", options->tflops, "TFLOP/s that a rank computes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->footer("Example: gear plan configs/quickstart.yaml --world 8 --set parallel.shard=full");
  command->callback([options] { print_plan(*options); });
}

}  // namespace gear::cli
