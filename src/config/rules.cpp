#include "gear/config/rules.h"

#include <cmath>
#include <sstream>

namespace gear::config {
namespace {

std::string number(double value) {
  std::ostringstream text;
  text.precision(15);
  text << value;
  return text.str();
}

}  // namespace

NumberRule at_least(double low) {
  return {[=](double value) { return value >= low ? "" : "must be at least " + number(low); },
          ">= " + number(low)};
}

NumberRule greater_than(double low) {
  return {[=](double value) { return value > low ? "" : "must be greater than " + number(low); },
          "> " + number(low)};
}

NumberRule in_range(double low, double high) {
  return {[=](double value) {
            return value >= low && value <= high
                       ? ""
                       : "must be from " + number(low) + " to " + number(high);
          },
          number(low) + " to " + number(high)};
}

NumberRule multiple_of(int64_t factor) {
  return {[=](double value) {
            return std::fmod(value, static_cast<double>(factor)) == 0.0
                       ? ""
                       : "must be a multiple of " + std::to_string(factor);
          },
          "multiple of " + std::to_string(factor)};
}

TextRule not_empty() {
  return {[](const std::string& value) { return value.empty() ? "must not be empty" : ""; },
          "not empty"};
}

}  // namespace gear::config
