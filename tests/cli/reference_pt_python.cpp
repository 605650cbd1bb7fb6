// Files of `gear convert --to pt` in the hands of PyTorch's own Python, where that is installed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/family_runs.h"
#include "cli/tiny_setup.h"
#include "models/families.h"
#include "project_folders.h"

namespace gear::cli::testing {
namespace {

constexpr int kNoTorch = 77;  // exit status of the script

std::string python() {
  const char* chosen = std::getenv("GEAR_PYTHON");
  return chosen == nullptr ? "python3" : chosen;
}

class ReferencePt : public ::testing::TestWithParam<models::Family> {};
INSTANTIATE_TEST_SUITE_P(Families, ReferencePt, ::testing::ValuesIn(models::families()),
                         models::family_name);

TEST_P(ReferencePt, PyTorchLoadsEveryNetworkAndOptimizer) {
  const TinySetup tiny;
  train_family(tiny, GetParam());
  const std::string file = (tiny.root() / "x.pt").string();
  ASSERT_EQ(tiny.gear({"convert", tiny.run().string(), file}).exit_code, exit_code::kSuccess);
  const Outcome names = tiny.gear({"convert", tiny.run().string(), "--names"});
  ASSERT_EQ(names.exit_code, exit_code::kSuccess) << names.err;
  io::write_bytes(tiny.root() / "names.json", names.out);

  const fs::path said = tiny.root() / "said.txt";
  const std::string command = python() + " " GEAR_SOURCE_DIR "/scripts/check_reference_pt.py '" +
                              file + "' '" + (tiny.root() / "names.json").string() + "' > '" +
                              said.string() + "' 2>&1";
  const int status = std::system(command.c_str());
  const std::string text = io::read_bytes(said);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoTorch) {
    GTEST_SKIP() << text << "; GEAR_PYTHON=... names another Python";
  }
  EXPECT_EQ(status, 0) << text;
  EXPECT_THAT(text, ::testing::HasSubstr(" tensors as expected"));
}

}  // namespace
}  // namespace gear::cli::testing
