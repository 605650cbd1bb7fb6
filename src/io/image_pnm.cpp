#include <algorithm>
#include <cmath>

#include "image_formats.h"

namespace gear::io {
namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Netpbm P1 to P6: bitmap, grey and colour, as text (P1 to P3) or binary.
class PnmReader {
 public:
  explicit PnmReader(const ImageSource& source) : source_(source), kind_(source.bytes[1] - '0') {}

  Image read() {
    const int64_t width = number("width");
    const int64_t height = number("height");
    source_.check_size(width, height);
    if (!bitmap()) {
      max_value_ = number("maximum");
      if (max_value_ < 1 || max_value_ > 65535) {
        source_.fail("damaged PNM: the maximum must be between 1 and 65535, got ", max_value_);
      }
    }
    if (binary()) end_header();
    check_length(width, height);
    source_.notes.sixteen_bit_grey |= channels() == 1 && max_value_ > 255;
    Image image(width, height);
    for (int64_t y = 0; y < height; ++y) read_row(image.row(y), width);
    return image;
  }

 private:
  bool bitmap() const { return kind_ == 1 || kind_ == 4; }
  bool binary() const { return kind_ >= 4; }
  int64_t channels() const { return kind_ == 3 || kind_ == 6 ? 3 : 1; }

  [[noreturn]] void fail_short() const { source_.fail("damaged PNM: the file ends too early"); }

  void skip_space_and_comments() {
    while (at_ < source_.bytes.size()) {
      if (source_.bytes[at_] == '#') {
        skip_comment();
      } else if (is_space(source_.bytes[at_])) {
        ++at_;
      } else {
        return;
      }
    }
  }

  void skip_comment() {
    at_ = std::min(source_.bytes.find_first_of("\r\n", at_), source_.bytes.size());
  }

  /// Exactly one white space follows the header; a comment counts as its own line end.
  void end_header() {
    if (at_ < source_.bytes.size() && source_.bytes[at_] == '#') skip_comment();
    ++at_;
  }

  /// Ends before white space or a comment.
  int64_t number(const char* what) {
    constexpr int64_t kMost = 1'000'000'000;
    skip_space_and_comments();
    if (at_ == source_.bytes.size()) fail_short();
    int64_t value = 0;
    for (; at_ < source_.bytes.size(); ++at_) {
      const char digit = source_.bytes[at_];
      if (is_space(digit) || digit == '#') break;
      if (digit < '0' || digit > '9' || value > kMost) {
        source_.fail("damaged PNM: the ", what, " is no number at byte ", at_);
      }
      value = value * 10 + (digit - '0');
    }
    return value;
  }

  /// Before memory is taken for a picture that a short file cannot fill.
  void check_length(int64_t width, int64_t height) const {
    int64_t row_bytes = width * channels() * (binary() && max_value_ > 255 ? 2 : 1);
    if (kind_ == 4) row_bytes = (width + 7) / 8;
    const auto left = static_cast<int64_t>(source_.bytes.size()) - static_cast<int64_t>(at_);
    if (left < row_bytes * height) fail_short();
  }

  void read_row(uint8_t* rgb, int64_t width) {
    const auto row_start = static_cast<int64_t>(at_);
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t channel = 0; channel < 3; ++channel) {
        if (channel > 0 && channels() == 1) {
          rgb[3 * x + channel] = rgb[3 * x];
        } else if (kind_ == 4) {
          const auto byte =
              static_cast<unsigned char>(source_.bytes[static_cast<size_t>(row_start + x / 8)]);
          rgb[3 * x] = (byte >> (7 - x % 8) & 1) != 0 ? 0 : 255;
        } else {
          rgb[3 * x + channel] = sample();
        }
      }
    }
    if (kind_ == 4) at_ += static_cast<size_t>((width + 7) / 8);
  }

  uint8_t sample() {
    if (kind_ == 1) {
      skip_space_and_comments();
      if (at_ == source_.bytes.size()) fail_short();
      const char digit = source_.bytes[at_++];
      if (digit != '0' && digit != '1')
        source_.fail("damaged PNM: expected 0 or 1 at byte ", at_ - 1);
      return digit == '1' ? 0 : 255;
    }
    if (!binary()) {
      const int64_t value = number("sample");
      if (value > max_value_) source_.fail("damaged PNM: sample ", value, " is above ", max_value_);
      return scale(value);
    }
    int64_t value = source_.data()[at_++];
    if (max_value_ > 255) value = value << 8 | source_.data()[at_++];
    return scale(value);
  }

  uint8_t scale(int64_t value) const {
    if (max_value_ == 255) return static_cast<uint8_t>(value);
    const double share = static_cast<double>(value) / static_cast<double>(max_value_);
    const bool deep_grey = channels() == 1 && max_value_ > 255;
    if (deep_grey && source_.options.sixteen_bit == SixteenBit::kClip) {
      return static_cast<uint8_t>(std::min(std::nearbyint(share * 65535.0), 255.0));
    }
    return static_cast<uint8_t>(std::min(std::nearbyint(share * 255.0), 255.0));
  }

  const ImageSource& source_;
  int kind_;
  size_t at_ = 2;
  int64_t max_value_ = 1;
};

}  // namespace

Image decode_pnm(const ImageSource& source) { return PnmReader(source).read(); }

}  // namespace gear::io
