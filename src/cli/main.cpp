#include "cli/gear_main.h"

int main(int argc, char** argv) { return gear::cli::gear_main(argc, argv); }
