// configs/README.md, the table of the published knobs, against the program.

#include "train/config_table.h"

#include <gtest/gtest.h>

#include <map>

#include "gear/train/run_config.h"

namespace gear::train {
namespace {

using gear::testing::is_command;
using gear::testing::knob_rows;
using gear::testing::KnobRow;

/// Every key of a configuration with its value.
class KeyLister {
 public:
  KeyLister(std::string prefix, std::map<std::string, std::string>& keys)
      : prefix_(std::move(prefix)), keys_(keys) {}

  template <class T, class... Rules>
  void operator()(const char* name, T& field, const char* /*help*/, const Rules&... /*rules*/) {
    if constexpr (config::detail::Value<T> || config::detail::IsVector<T>::value) {
      keys_[prefix_ + name] = config::detail::format(field);
    } else {
      KeyLister inner(prefix_ + name + ".", keys_);
      field.fields(inner);
    }
  }

 private:
  std::string prefix_;
  std::map<std::string, std::string>& keys_;
};

std::map<std::string, std::string> default_keys() {
  std::map<std::string, std::string> keys;
  KeyLister lister("", keys);
  RunConfig().fields(lister);
  return keys;
}

TEST(ConfigTable, EveryKeyItNamesIsThereWithTheDefaultItTells) {
  const auto keys = default_keys();
  int checked = 0;
  for (const KnobRow& row : knob_rows()) {
    for (const std::string& key : row.here) {
      if (is_command(key)) continue;
      ASSERT_TRUE(keys.contains(key)) << row.published << ": there is no key " << key;
      ++checked;
      if (row.here.size() == 1) {
        EXPECT_EQ(keys.at(key), row.default_here) << key;
      }
    }
  }
  EXPECT_GE(checked, 70);
}

TEST(ConfigTable, EveryRowSaysWhereTheKnobIsOrWhyItIsNot) {
  for (const KnobRow& row : knob_rows()) {
    EXPECT_NE(row.here.empty(), !row.left_out) << row.published;
    if (row.left_out) {
      EXPECT_NE(row.remark, "") << row.published;
    }
  }
}

}  // namespace
}  // namespace gear::train
