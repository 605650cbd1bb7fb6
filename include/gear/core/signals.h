#pragma once

namespace gear {

/// From now on SIGINT, SIGTERM and SIGUSR1 ask for a stop instead of ending the process; a second
/// SIGINT ends it at once (a person pressing Ctrl-C twice means it).
void install_stop_signals();

/// The first signal received, or 0. Cheap enough to ask after every step.
int stop_signal();

/// "SIGTERM"
const char* signal_name(int signal);

}  // namespace gear
