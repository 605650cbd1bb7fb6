#include "gear/dist/flat_layout.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

namespace gear::dist {
namespace {

int64_t rounded_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

FlatLayout::FlatLayout(std::vector<int64_t> numels, int64_t parts)
    : numels_(std::move(numels)), parts_(parts) {
  TORCH_CHECK(parts_ >= 1, "FlatLayout: parts must be at least 1, got ", parts_);
  int64_t end = 0;
  for (const int64_t numel : numels_) {
    begins_.push_back(end);
    end += rounded_up(numel, kAlignment);
  }
  part_size_ = rounded_up((end + parts_ - 1) / parts_, kAlignment);
}

FlatLayout::Piece FlatLayout::piece(int64_t tensor, int64_t part) const {
  const int64_t part_begin = part * part_size_;
  const int64_t first = std::max(begin(tensor), part_begin);
  const int64_t last = std::min(begin(tensor) + numel(tensor), part_begin + part_size_);
  if (first >= last) return {};
  return {.offset = first - begin(tensor), .place = first - part_begin, .count = last - first};
}

int64_t FlatLayout::begin(int64_t tensor) const { return begins_.at(static_cast<size_t>(tensor)); }
int64_t FlatLayout::numel(int64_t tensor) const { return numels_.at(static_cast<size_t>(tensor)); }

}  // namespace gear::dist
