#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "project_folders.h"

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

/// A file of one room, and whether other rooms may include it.
struct Place {
  std::string room;
  bool is_public = false;
};

/// What is wrong with a line of that file, or "".
///   "gear/x/..." and <gear/x/...>  a public header: only along an arrow
///   "x/..."                        a private header of the room x: only from sources of x
///   "../..."                       never, since it hides the room
std::string fault_of(const Place& place, const std::string& line) {
  static const std::regex kInclude(
      "^\\s*#\\s*include\\s*([\"<])(gear/)?(([a-z_]+)/[^\">]*|\\.\\./.*)");
  std::smatch match;
  if (!std::regex_search(line, match, kInclude)) return "";
  if (match[3].str().starts_with("../")) return "a path through ..";
  const bool of_gear = match[2].matched;
  if (!of_gear && match[1] == "<") return "";  // a library
  const std::string room = match[4];
  if (!kMayInclude.contains(room)) return "an unknown room";
  if (!of_gear && (place.is_public || room != place.room)) return "a private header";
  return reachable_from(place.room).contains(room) ? "" : "against the arrows";
}

TEST(Layers, TheCheckKnowsEveryFormOfInclude) {
  const Place source{.room = "train"};
  const Place header{.room = "train", .is_public = true};
  EXPECT_EQ(fault_of(source, "#include \"gear/data/loader.h\""), "");
  EXPECT_EQ(fault_of(source, "#include \"train/run_log.h\""), "");
  EXPECT_EQ(fault_of(source, "#include \"run_log.h\""), "");
  EXPECT_EQ(fault_of(source, "#include <ATen/ops/cat.h>"), "");
  EXPECT_EQ(fault_of(source, "#include <sys/file.h>"), "");
  EXPECT_EQ(fault_of(source, "#include \"gear/cli/x.h\""), "against the arrows");
  EXPECT_EQ(fault_of(source, "#include <gear/sample/sampler.h>"), "against the arrows");
  EXPECT_EQ(fault_of(source, "  # include \"gear/eval/x.h\""), "against the arrows");
  EXPECT_EQ(fault_of(source, "#include \"../cli/commands.h\""), "a path through ..");
  EXPECT_EQ(fault_of(source, "#include \"data/pipeline.h\""), "a private header");
  EXPECT_EQ(fault_of(header, "#include \"train/run_log.h\""), "a private header");
  EXPECT_EQ(fault_of(source, "#include \"gear/trian/x.h\""), "an unknown room");
}

TEST(Layers, EveryIncludeFollowsAnArrowOfTheDesign) {
  int includes = 0;
  for (const std::string top : {"include/gear", "src"}) {
    const fs::path root = fs::path(GEAR_SOURCE_DIR) / top;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (!entry.is_regular_file()) continue;
      const Place place{.room = fs::relative(entry.path(), root).begin()->string(),
                        .is_public = top == "include/gear"};
      ASSERT_TRUE(kMayInclude.contains(place.room)) << entry.path() << " stands in an unknown room";
      std::ifstream stream(entry.path());
      for (std::string line; std::getline(stream, line);) {
        if (line.find("#include \"gear/") != std::string::npos) ++includes;
        EXPECT_EQ(fault_of(place, line), "") << entry.path() << ": " << line;
      }
    }
  }
  EXPECT_GT(includes, 50) << "the include lines were not found";
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
