// The pictures under pictures/ decode to the pixels that Pillow gives; make.py there made both.

#include <gtest/gtest.h>

#include <fstream>

#include "gear/io/image.h"
#include "project_folders.h"

namespace gear::io {
namespace {

TEST(PillowPictures, DecodeToThePixelsOfPillow) {
  const std::filesystem::path folder = GEAR_SOURCE_DIR "/tests/io/pictures";
  std::ifstream expected(folder / "expected.bin", std::ios::binary);
  int pictures = 0;
  std::string name;
  for (int64_t width = 0, height = 0; expected >> name >> width >> height; ++pictures) {
    expected.get();  // the end of the line
    std::vector<uint8_t> pixels(static_cast<size_t>(width * height * 3));
    expected.read(reinterpret_cast<char*>(pixels.data()),
                  static_cast<std::streamsize>(pixels.size()));
    const Image image = read_image(folder / name);
    EXPECT_EQ(image.width, width) << name;
    EXPECT_EQ(image.height, height) << name;
    EXPECT_TRUE(image.pixels == pixels) << name;
  }
  EXPECT_EQ(pictures, 39);
}

}  // namespace
}  // namespace gear::io
