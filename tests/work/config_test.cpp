#include "gear/config/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "io/temporary_folder.h"
#include "work/branch_count.h"

namespace gear::work {
namespace {

struct Settings {
  std::string name;

  template <class Visitor>
  void fields(Visitor& v) {
    v("name", name, "Name.");
  }
};

/// The branches it takes to refuse a file of `count` keys that extends another one with as many.
uint64_t work_of(int count) {
  const io::TemporaryFolder folder;
  std::ofstream(folder / "top.yaml") << "extends: base.yaml\n";
  for (const std::string name : {"base", "top"}) {
    std::ofstream file(folder / (name + ".yaml"), std::ios::app);
    for (int i = 0; i < count; ++i) file << name << i << ": " << i << "\n";
  }
  return branches_of([&] { EXPECT_THROW(config::load<Settings>(folder / "top.yaml"), Error); });
}

TEST(Work, OfAConfigurationAndItsBaseGrowsNoFasterThanTheirKeys) {
  const uint64_t few = work_of(kFew);
  EXPECT_GT(few, static_cast<uint64_t>(kFew));  // they are counted
  EXPECT_LT(work_of(kMany), kMostGrowth * few);
}

}  // namespace
}  // namespace gear::work
