#pragma once

#include <CLI/App.hpp>

/// One function per subcommand, each in its own file: it declares the arguments and runs the
/// command when they were given.
namespace gear::cli {

/// Sets `exit_status` to exit_code::kInterrupted when a signal stopped the run.
void add_train_command(CLI::App& app, int& exit_status);
void add_sample_command(CLI::App& app);
void add_encode_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_data_command(CLI::App& app);
/// Sets `exit_status` to 1 when two files that it compares differ.
void add_inspect_command(CLI::App& app, int& exit_status);
void add_convert_command(CLI::App& app);
void add_report_command(CLI::App& app);
void add_doctor_command(CLI::App& app);
void add_bench_command(CLI::App& app, int& exit_status);
void add_plan_command(CLI::App& app);

}  // namespace gear::cli
