#include "cli/gear_main.h"

#include <c10/util/Exception.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <sstream>
#include <string>

#include "cli/commands.h"
#include "gear/core/error.h"
#include "gear/core/log.h"
#include "gear/core/text.h"
#include "gear/dist/lost_rank.h"

namespace gear::cli {
namespace {

int user_error(const std::string& sentence) {
  log::error(sentence);
  return exit_code::kUserError;
}

int out_of_memory() {
  return user_error(
      "out of memory; gear train needs less with a lower data.batch_size or a higher "
      "optimizer.accumulation, gear sample, gear encode and gear eval with a lower --batch");
}

/// A sentence, and below it the trace that LibTorch's errors bring along.
int internal_error(const std::string& text) {
  std::istringstream lines("internal error, please report it: " + text);
  std::string line;
  std::getline(lines, line);
  log::error(line);
  while (std::getline(lines, line)) log::info(line);
  return exit_code::kInternalError;
}

/// Whether a tensor found no memory: LibTorch has a type for that on a GPU, and on the CPU a text.
bool is_out_of_memory(const c10::Error& error) {
  return dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         error.msg().find("DefaultCPUAllocator: can't allocate memory") != std::string::npos;
}

/// CLI11 says of an unknown command only that one is needed.
void expect_known_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == argv[1]) return;
    names.push_back(command->get_name());
  }
  const std::string near = nearest_name(argv[1], names);
  fail(argv[1], ": there is no such command; ",
       near.empty() ? "it is one of " + join(names) : "did you mean " + near + "?");
}

int run(int argc, char** argv) {
  CLI::App app{
      "gear trains an image tokenizer and an autoregressive transformer together, and "
      "samples images from them."};
  app.require_subcommand(1);
  app.set_version_flag("--version", "gear " GEAR_VERSION);
  app.footer(
      "Example: gear train configs/quickstart_tokenizer.yaml\nHelp of a command: gear train "
      "--help");
  int exit_status = exit_code::kSuccess;
  add_train_command(app, exit_status);
  add_sample_command(app);
  add_encode_command(app);
  add_eval_command(app);
  add_data_command(app);
  add_inspect_command(app, exit_status);
  add_convert_command(app);
  add_report_command(app);
  add_doctor_command(app);
  add_bench_command(app, exit_status);
  add_plan_command(app);
  try {
    expect_known_command(app, argc, argv);
    app.parse(argc, argv);
    return exit_status;
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);  // prints help, version, or what is wrong
    return status == 0 ? exit_code::kSuccess : exit_code::kUserError;
  } catch (const dist::LostRank& error) {
    log::error(error.what());
    return exit_code::kRankLost;
  } catch (const Error& error) {
    return user_error(error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    return user_error(error.path1().string() + ": cannot be used: " + error.code().message());
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const c10::Error& error) {
    return is_out_of_memory(error) ? out_of_memory() : internal_error(error.what());
  } catch (const std::exception& error) {
    return internal_error(error.what());
  }
}

}  // namespace

int gear_main(int argc, char** argv) {
  // A file that grows beyond its limit then fails to be written, and is named.
  std::signal(SIGXFSZ, SIG_IGN);
  // LibTorch then asks for large pages: a map of a network touches thousands of small ones.
  ::setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);
  return run(argc, argv);
}

}  // namespace gear::cli
