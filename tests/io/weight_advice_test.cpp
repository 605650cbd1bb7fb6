// What is said of weight files that cannot be read: over every malformed file of the golden case
// and all that the fuzzers have collected.

#include <gtest/gtest.h>

#include <vector>

#include "gear/io/weight_parts.h"
#include "gear/io/weights.h"
#include "io/says_what_to_do.h"
#include "io/temporary_folder.h"
#include "project_folders.h"

namespace gear::io {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_in(const std::string& folder) {
  const fs::directory_iterator entries(fs::path(GEAR_SOURCE_DIR) / "tests" / folder);
  std::vector<fs::path> files(fs::begin(entries), fs::end(entries));
  std::sort(files.begin(), files.end());
  return files;
}

/// It names the file and ends with what to do. Empty stands for a file that was read.
void expect_sentence(const std::string& message, const fs::path& path) {
  if (message.empty()) return;
  EXPECT_NE(message.find(path.string() + ": "), std::string::npos) << message;
  EXPECT_TRUE(says_what_to_do(message)) << message;
}

/// Reads the file as gear inspect and as training does. Returns whether both refuse it.
bool is_refused(const fs::path& path) {
  const std::string looked = error_of([&] { open_weight_file(path); });
  const std::string loaded = error_of([&] { load_tensors(path); });
  expect_sentence(looked, path);
  expect_sentence(loaded, path);
  return !looked.empty() && !loaded.empty();
}

TEST(WeightAdvice, EndsEveryRefusalOfAMalformedGoldenFile) {
  for (const fs::path& path : files_in("golden/checkpoints/malformed")) {
    EXPECT_TRUE(is_refused(path)) << path;
  }
}

class CorpusAdvice : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Targets, CorpusAdvice,
                         ::testing::Values("safetensors", "torch_archive", "script_module",
                                           "unpickler", "weights"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(CorpusAdvice, EndsEveryRefusal) {
  int refused = 0;
  for (const fs::path& path : files_in(std::string("fuzz/corpus/") + GetParam())) {
    refused += is_refused(path) ? 1 : 0;
  }
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace gear::io
