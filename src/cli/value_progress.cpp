#include "cli/value_progress.h"

#include "gear/core/text.h"

namespace gear::cli {

void ValueProgress::add(int64_t bytes) {
  constexpr double kPatienceSeconds = 2.0;
  bytes_ += bytes;
  if (seconds_now() - start_ < kPatienceSeconds) return;
  line_.show("reading values: " + format_bytes(static_cast<double>(bytes_)) + " of " +
             format_bytes(static_cast<double>(all_bytes_)) + " (--no-values skips this)");
}

}  // namespace gear::cli
