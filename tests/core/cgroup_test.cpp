#include "core/cgroup.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>

#include "io/temporary_folder.h"

namespace gear {
namespace {

namespace fs = std::filesystem;

/// A folder that looks as /sys/fs/cgroup does.
class CgroupTest : public ::testing::Test {
 protected:
  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((root_.path() / file).parent_path());
    std::ofstream(root_.path() / file) << text;
  }
  double available() const { return cgroup_available_memory(root_.path()); }

  io::TemporaryFolder root_;
};

TEST_F(CgroupTest, WithoutLimitsEverythingIsAvailable) {
  EXPECT_EQ(available(), std::numeric_limits<double>::infinity());
  write("memory.max", "max\n");
  write("memory.current", "600\n");
  EXPECT_EQ(available(), std::numeric_limits<double>::infinity());
}

TEST_F(CgroupTest, PageCacheCountsAsAvailableInVersion2) {
  write("memory.max", "1000\n");
  write("memory.current", "900\n");
  write("memory.stat",
        "anon 350\nfile 550\ninactive_anon 1\nactive_anon 2\ninactive_file 300\nactive_file 200\n");
  EXPECT_EQ(available(), 600.0);
}

TEST_F(CgroupTest, PageCacheOfTheWholeTreeCountsAsAvailableInVersion1) {
  write("memory/memory.limit_in_bytes", "1000\n");
  write("memory/memory.usage_in_bytes", "900\n");
  write("memory/memory.stat",
        "inactive_file 7\nactive_file 7\ntotal_inactive_file 250\ntotal_active_file 50\n");
  EXPECT_EQ(available(), 400.0);
}

TEST_F(CgroupTest, AnExceededLimitLeavesNothing) {
  write("memory.max", "1000\n");
  write("memory.current", "1100\n");
  EXPECT_EQ(available(), 0.0);
}

}  // namespace
}  // namespace gear
