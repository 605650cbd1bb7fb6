#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "gear/io/image.h"

namespace gear::data {

/// A picture whose every pixel differs from its neighbours and from those of other `number`s.
inline io::Image test_picture(int64_t width, int64_t height, int64_t number = 0) {
  io::Image image(width, height);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      uint8_t* rgb = image.row(y) + 3 * x;
      rgb[0] = static_cast<uint8_t>(x * 7 + y * 3 + number * 31);
      rgb[1] = static_cast<uint8_t>(x * y + number);
      rgb[2] = static_cast<uint8_t>(255 - x * 5 + y * 11 - number * 17);
    }
  }
  return image;
}

/// Writes `count` pictures of varying sizes over the classes "a" and "b"; picture i is i.png.
inline void write_picture_folder(const std::filesystem::path& root, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = std::to_string(i);
    io::write_png(
        root / (i % 2 == 0 ? "a" : "b") / (std::string(3 - name.size(), '0') + name + ".png"),
        test_picture(20 + i % 5, 18 + i % 3, i));
  }
}

}  // namespace gear::data
