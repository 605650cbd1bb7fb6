#pragma once

namespace gear::cli {

/// All of the program: parses the arguments, runs the command, prints what went wrong and returns
/// the exit code.
int gear_main(int argc, char** argv);

}  // namespace gear::cli
