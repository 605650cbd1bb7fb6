#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "gear/io/image.h"

namespace gear::data {

/// Draws emoji from a colour bitmap font (CBDT, such as Noto Color Emoji). One object per thread.
class EmojiFont {
 public:
  static constexpr int64_t kSide = 136;  ///< of the pictures

  explicit EmojiFont(const std::filesystem::path& path);
  ~EmojiFont();

  /// The sequence on a white square; nothing when the font draws it as several glyphs side by side,
  /// or not at all.
  std::optional<io::Image> draw(const std::vector<uint32_t>& code_points);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gear::data
