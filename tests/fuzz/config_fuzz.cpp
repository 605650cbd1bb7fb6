#include <array>
#include <string>
#include <vector>

#include "fuzz/input_file.h"
#include "fuzz/targets.h"
#include "gear/config/config.h"

namespace gear::fuzz {

enum class Colour { kRed, kGreen };

}  // namespace gear::fuzz

namespace gear::config {

template <>
struct EnumNames<fuzz::Colour> {
  static constexpr std::array<const char*, 2> value = {"red", "green"};
};

}  // namespace gear::config

namespace gear::fuzz {
namespace {

struct Inner {
  double rate = 0.5;
  std::vector<int64_t> sizes = {1, 2};
  std::vector<std::string> names = {};

  template <class Visitor>
  void fields(Visitor& v) {
    v("rate", rate, "A number.", config::in_range(0.0, 1.0));
    v("sizes", sizes, "Numbers.", config::at_least(1));
    v("names", names, "Texts.");
  }
};

/// A field of every kind that a configuration has.
struct Settings {
  std::string name = "run";
  int64_t steps = 10;
  bool quick = false;
  Colour colour = Colour::kRed;
  Inner inner;

  template <class Visitor>
  void fields(Visitor& v) {
    v("name", name, "A text.");
    v("steps", steps, "A count.", config::at_least(0));
    v("quick", quick, "A switch.");
    v("colour", colour, "A choice.");
    v("inner", inner, "A part.");
  }
};

}  // namespace

/// The first line is an override when it begins with "--set "; what follows is the file.
void config(std::string_view bytes) {
  constexpr std::string_view kOverride = "--set ";
  std::vector<std::string> overrides;
  if (bytes.starts_with(kOverride)) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    overrides.emplace_back(bytes.substr(kOverride.size(), end - kOverride.size()));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  const auto read = config::load<Settings>(input_folder().file("settings.yaml", bytes), overrides);
  const std::string text = config::dump(read);
  const auto again = config::load<Settings>(input_folder().file("again.yaml", text));
  expect(config::dump(again) == text, "a saved configuration reads back as it was");
}

}  // namespace gear::fuzz
