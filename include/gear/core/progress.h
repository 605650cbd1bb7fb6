#pragma once

#include <string>

namespace gear {

/// One live line on standard error. On a terminal it is redrawn in place, cut to the width of the
/// terminal; elsewhere (a file, a cluster log) each call prints a plain line, at most one per
/// `plain_interval_s` seconds.
class ProgressLine {
 public:
  explicit ProgressLine(double plain_interval_s = 10.0);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const std::string& text);
  void finish(const std::string& text);  ///< prints `text` for good and ends the line

 private:
  bool terminal_;
  double plain_interval_s_;
  double last_plain_s_ = -1e300;
};

/// Erases the live line, if one is shown, so that another line can be printed.
void clear_progress_line();

}  // namespace gear
