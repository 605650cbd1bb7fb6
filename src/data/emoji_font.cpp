#include "emoji_font.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include <hb-ft.h>
#include <hb.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string>

#include "gear/core/error.h"

// The arithmetic is Pillow's for text with embedded colour, so that both draw the same pixels.

namespace gear::data {
namespace {

constexpr int64_t kLineHeight = 128;    // of a drawing; centred in the square
constexpr int64_t kWidestSingle = 140;  // wider text is several glyphs side by side
constexpr unsigned kPixelSize = 109;    // the one size that the bitmaps have

int to_pixels(FT_Pos position) { return static_cast<int>((position + 32) >> 6); }  // from 26.6

/// (a + 127.5) / 255 in whole numbers.
int divide_by_255(int a) {
  a += 128;
  return ((a >> 8) + a) >> 8;
}

/// `weight` / 255 of `over` on top of `under`.
uint8_t blend(int weight, int under, int over) {
  return static_cast<uint8_t>(divide_by_255(under * (255 - weight) + over * weight));
}

/// Straight (not premultiplied) colour with alpha, [128, 136, 4].
class Canvas {
 public:
  Canvas() : pixels_(static_cast<size_t>(EmojiFont::kSide * kLineHeight * 4)) {}

  /// Draws premultiplied B, G, R, A with its corner at (left, top); what is outside is cut off.
  void draw(const FT_Bitmap& bitmap, int64_t left, int64_t top) {
    for (int64_t y = 0; y < bitmap.rows; ++y) {
      for (int64_t x = 0; x < bitmap.width; ++x) {
        const bool inside =
            left + x >= 0 && left + x < EmojiFont::kSide && top + y >= 0 && top + y < kLineHeight;
        if (inside) draw_pixel(bitmap.buffer + y * bitmap.pitch + 4 * x, at(left + x, top + y));
      }
    }
  }

  io::Image on_white_square() const {
    io::Image square(EmojiFont::kSide, EmojiFont::kSide);
    std::fill(square.pixels.begin(), square.pixels.end(), uint8_t{255});
    constexpr int64_t kMargin = (EmojiFont::kSide - kLineHeight) / 2;
    for (int64_t i = 0; i < EmojiFont::kSide * kLineHeight; ++i) {
      const uint8_t* rgba = pixels_.data() + 4 * i;
      uint8_t* rgb = square.row(kMargin) + 3 * i;
      for (int channel = 0; channel < 3; ++channel)
        rgb[channel] = blend(rgba[3], 255, rgba[channel]);
    }
    return square;
  }

 private:
  uint8_t* at(int64_t x, int64_t y) { return pixels_.data() + 4 * (y * EmojiFont::kSide + x); }

  static void draw_pixel(const uint8_t* bgra, uint8_t* target) {
    const int alpha = bgra[3];
    if (alpha == 0) return;
    for (int channel = 0; channel < 3; ++channel) {
      const int straight = std::min(255 * bgra[2 - channel] / alpha, 255);
      target[channel] =
          target[3] > 0 ? blend(alpha, target[channel], straight) : static_cast<uint8_t>(straight);
    }
    const int below = target[3] > 0 ? divide_by_255(target[3] * (255 - alpha)) : 0;
    target[3] = static_cast<uint8_t>(std::min(alpha + below, 255));
  }

  std::vector<uint8_t> pixels_;
};

bool has_three_colours(const io::Image& image) {
  std::set<std::array<uint8_t, 3>> colours;
  for (size_t i = 0; i < image.pixels.size() && colours.size() < 3; i += 3) {
    colours.insert({image.pixels[i], image.pixels[i + 1], image.pixels[i + 2]});
  }
  return colours.size() == 3;
}

}  // namespace

class EmojiFont::Impl {
 public:
  explicit Impl(const std::filesystem::path& path) {
    if (FT_Init_FreeType(&library_) != 0) fail("FreeType cannot be started");
    if (FT_New_Face(library_, path.c_str(), 0, &face_) != 0) {
      fail(path.string(),
           ": is not a font that can be read; expected Noto Color Emoji of the Debian "
           "package fonts-noto-color-emoji");
    }
    if (!FT_HAS_COLOR(face_) || FT_Set_Pixel_Sizes(face_, 0, kPixelSize) != 0) {
      fail(path.string(), ": has no colour bitmaps of ", kPixelSize,
           " pixels; expected Noto Color Emoji of the Debian package fonts-noto-color-emoji");
    }
    font_ = hb_ft_font_create(face_, nullptr);
    hb_ft_font_set_load_flags(font_, FT_LOAD_COLOR);
    buffer_ = hb_buffer_create();
  }
  ~Impl() {
    hb_buffer_destroy(buffer_);
    hb_font_destroy(font_);
    FT_Done_Face(face_);
    FT_Done_FreeType(library_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::optional<io::Image> draw(const std::vector<uint32_t>& code_points) {
    const int count = static_cast<int>(code_points.size());
    hb_buffer_clear_contents(buffer_);
    hb_buffer_add_utf32(buffer_, code_points.data(), count, 0, count);
    hb_buffer_guess_segment_properties(buffer_);
    hb_shape(font_, buffer_, nullptr, 0);
    unsigned num_glyphs = 0;
    const hb_glyph_info_t* glyphs = hb_buffer_get_glyph_infos(buffer_, &num_glyphs);
    const hb_glyph_position_t* positions = hb_buffer_get_glyph_positions(buffer_, &num_glyphs);
    FT_Pos length = 0;
    for (unsigned i = 0; i < num_glyphs; ++i) length += positions[i].x_advance;
    const int width = to_pixels(length);
    if (width == 0 || width > kWidestSingle) return std::nullopt;

    Canvas canvas;
    const int ascender = to_pixels(face_->size->metrics.ascender);
    FT_Pos pen = 0;
    for (unsigned i = 0; i < num_glyphs; ++i) {
      if (FT_Load_Glyph(face_, glyphs[i].codepoint, FT_LOAD_COLOR | FT_LOAD_RENDER) == 0 &&
          face_->glyph->bitmap.pixel_mode == FT_PIXEL_MODE_BGRA) {
        canvas.draw(face_->glyph->bitmap,
                    to_pixels(pen + positions[i].x_offset) + face_->glyph->bitmap_left,
                    ascender - face_->glyph->bitmap_top - to_pixels(positions[i].y_offset));
      }
      pen += positions[i].x_advance;
    }
    io::Image square = canvas.on_white_square();
    if (!has_three_colours(square)) return std::nullopt;  // a missing glyph or an empty one
    return square;
  }

 private:
  FT_Library library_ = nullptr;
  FT_Face face_ = nullptr;
  hb_font_t* font_ = nullptr;
  hb_buffer_t* buffer_ = nullptr;
};

EmojiFont::EmojiFont(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}
EmojiFont::~EmojiFont() = default;

std::optional<io::Image> EmojiFont::draw(const std::vector<uint32_t>& code_points) {
  return impl_->draw(code_points);
}

}  // namespace gear::data
