#pragma once

#include <string>
#include <string_view>

namespace gear::dist {

/// Passes what a rank writes on to a descriptor of this process, whole lines at a time, each behind
/// a prefix. On a terminal it first erases the live line that another rank may show there.
class LinePrefixer {
 public:
  LinePrefixer(int descriptor, std::string prefix);

  void add(std::string_view text);
  void finish();  ///< passes on what stands behind the last line end, as a line

 private:
  void pass_on(std::string_view line);

  int descriptor_;
  std::string prefix_;
  std::string started_;  // a line without its end
};

}  // namespace gear::dist
