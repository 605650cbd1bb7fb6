#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace gear {
namespace {

namespace fs = std::filesystem;
using Rooms = std::set<std::string>;

/// The arrows of the design. What a target may include is granted too.
const std::map<std::string, Rooms> kMayInclude = {
    {"core", {}},
    {"config", {"core"}},
    {"io", {"core"}},
    {"dist", {"core"}},
    {"ops", {"dist", "core"}},
    {"data", {"config", "io", "dist"}},
    {"nn", {"ops"}},
    {"models", {"nn", "config", "io"}},
    {"losses", {"models"}},
    {"train", {"losses", "data"}},
    {"sample", {"models"}},
    {"eval", {"sample", "data"}},
    {"cli", {"train", "eval", "sample"}},
};

Rooms reachable_from(const std::string& room) {
  Rooms found = {room};
  for (const std::string& next : kMayInclude.at(room)) found.merge(reachable_from(next));
  return found;
}

TEST(Layers, EveryIncludeFollowsAnArrowOfTheDesign) {
  const std::regex include_line("^\\s*#include \"(?:gear/)?([a-z]+)/");
  int edges = 0;
  for (const std::string top : {"include/gear", "src"}) {
    const fs::path root = fs::path(GEAR_SOURCE_DIR) / top;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) continue;
      const std::string room = fs::relative(entry.path(), root).begin()->string();
      ASSERT_TRUE(kMayInclude.contains(room)) << entry.path() << " stands in an unknown room";
      const Rooms allowed = reachable_from(room);
      std::ifstream stream(entry.path());
      std::smatch match;
      for (std::string line; std::getline(stream, line);) {
        if (!std::regex_search(line, match, include_line)) continue;
        ++edges;
        EXPECT_TRUE(allowed.contains(match[1])) << entry.path() << ": " << line;
      }
    }
  }
  EXPECT_GT(edges, 50) << "the include lines were not found";
}

TEST(Layers, NoFileTakesTheWholeOfLibTorch) {
  for (const std::string top : {"include", "src", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(GEAR_SOURCE_DIR) / top)) {
      if (!entry.is_regular_file() || entry.path().filename() == "layers_test.cpp") continue;
      std::ifstream stream(entry.path());
      for (std::string line; std::getline(stream, line);) {
        EXPECT_EQ(line.find("#include <torch/torch.h>"), std::string::npos) << entry.path();
      }
    }
  }
}

}  // namespace
}  // namespace gear
