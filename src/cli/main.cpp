#include <c10/util/Exception.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <new>

#include "cli/commands.h"
#include "gear/core/error.h"
#include "gear/core/log.h"

namespace gear::cli {
namespace {

int run(int argc, char** argv) {
  CLI::App app{"gear trains an image tokenizer and an autoregressive transformer together, and "
               "samples images from them."};
  app.require_subcommand(1);
  app.set_version_flag("--version", "gear " GEAR_VERSION);
  app.footer("Example: gear train configs/quickstart.yaml\nHelp of a command: gear train --help");
  int exit_status = exit_code::kSuccess;
  add_train_command(app, exit_status);
  add_sample_command(app);
  add_eval_command(app);
  add_data_command(app);
  add_inspect_command(app);
  add_doctor_command(app);
  try {
    app.parse(argc, argv);
    return exit_status;
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);  // prints help, version, or what is wrong
    return status == 0 ? exit_code::kSuccess : exit_code::kUserError;
  } catch (const Error& error) {
    log::error(error.what());
    return exit_code::kUserError;
  } catch (const std::bad_alloc&) {
    log::error("out of memory: lower data.batch_size or raise optimizer.accumulation");
    return exit_code::kUserError;
  } catch (const c10::Error& error) {
    log::error(std::string("internal error, please report it:\n") + error.what());
    return exit_code::kInternalError;
  } catch (const std::exception& error) {
    log::error(std::string("internal error, please report it: ") + error.what());
    return exit_code::kInternalError;
  }
}

}  // namespace
}  // namespace gear::cli

int main(int argc, char** argv) { return gear::cli::run(argc, argv); }
