// The options that configs/README.md names for published knobs, against the help of the commands.

#include "train/config_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tiny_setup.h"

namespace gear::cli::testing {
namespace {

TEST(ConfigTable, EveryCommandAndOptionItNamesIsThere) {
  const io::TemporaryFolder folder;
  std::map<std::string, std::string> helps;
  int checked = 0;
  for (const auto& row : gear::testing::knob_rows()) {
    for (const std::string& here : row.here) {
      if (!gear::testing::is_command(here)) continue;
      std::stringstream words(here);
      std::string gear, command, option;
      words >> gear >> command >> option;
      if (!helps.contains(command)) {
        const Outcome help = run_gear(folder.path(), {command, "--help"});
        EXPECT_EQ(help.exit_code, exit_code::kSuccess) << here;
        helps[command] = help.out;
      }
      EXPECT_THAT(helps[command] + " ", ::testing::ContainsRegex(option + "[ ,]")) << here;
      ++checked;
    }
  }
  EXPECT_GE(checked, 15);
}

}  // namespace
}  // namespace gear::cli::testing
