#include "gear/core/text.h"

#include <gtest/gtest.h>

namespace gear {
namespace {

TEST(NearestName, FindsTyposAndSwappedLettersOnly) {
  EXPECT_EQ(nearest_name("dropuot", {"depth", "dropout"}), "dropout");
  EXPECT_EQ(nearest_name("haeds", {"heads", "dim"}), "heads");
  EXPECT_EQ(nearest_name("banana", {"heads", "dim"}), "");
}

TEST(Format, ReadsWellToPeople) {
  EXPECT_EQ(format_count(110888448), "110,888,448");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_bytes(1610612736.0), "1.5 GiB");
  EXPECT_EQ(format_bytes(12.0), "12 B");
  EXPECT_EQ(format_duration(3725), "1 h 02 min");
  EXPECT_EQ(format_duration(62), "1 min 02 s");
  EXPECT_EQ(format_duration(9), "9 s");
}

}  // namespace
}  // namespace gear
