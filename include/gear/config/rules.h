#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace gear::config {

/// What a single value must satisfy. `violation` returns "" or the reason ("must be at least 1").
struct NumberRule {
  std::function<std::string(double)> violation;
  std::string text;  ///< for the help: ">= 1"
};
struct TextRule {
  std::function<std::string(const std::string&)> violation;
  std::string text;
};

NumberRule at_least(double low);
NumberRule greater_than(double low);
NumberRule in_range(double low, double high);  ///< both ends included
NumberRule multiple_of(int64_t factor);
TextRule not_empty();

}  // namespace gear::config
