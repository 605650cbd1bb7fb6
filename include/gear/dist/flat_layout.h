#pragma once

#include <cstdint>
#include <vector>

namespace gear::dist {

/// Tensors laid one behind another in one flat buffer that is cut into equal parts, one a rank.
/// Source: the flat parameters of arXiv:2304.11277.
///
/// A tensor begins at a multiple of kAlignment elements, and so does every part, so that a pass
/// over a piece meets the same full vectors as a pass over the whole tensor: element by element the
/// same bits, however many parts there are.
class FlatLayout {
 public:
  static constexpr int64_t kAlignment = 16;

  /// `numels` elements of the tensors, in their order.
  FlatLayout(std::vector<int64_t> numels, int64_t parts);

  /// The share of a part in a tensor; empty where they do not meet.
  struct Piece {
    int64_t offset = 0;  ///< first element, counted in the tensor
    int64_t place = 0;   ///< of that element, counted in the part
    int64_t count = 0;
  };
  Piece piece(int64_t tensor, int64_t part) const;

  int64_t tensors() const { return static_cast<int64_t>(numels_.size()); }
  int64_t begin(int64_t tensor) const;  ///< of a tensor, in the buffer
  int64_t numel(int64_t tensor) const;
  int64_t parts() const { return parts_; }
  int64_t part_size() const { return part_size_; }
  int64_t size() const { return parts_ * part_size_; }  ///< of the buffer, padding included

 private:
  std::vector<int64_t> numels_, begins_;
  int64_t parts_;
  int64_t part_size_ = 0;
};

}  // namespace gear::dist
