#include "gear/core/printable.h"

#include <cstdint>
#include <cstdio>

namespace gear {
namespace {

/// A character of UTF-8; no bytes when what stands there is none.
struct Character {
  uint32_t code = 0;
  size_t bytes = 0;
};

Character first_character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const size_t bytes = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};  // shorter spellings are not allowed
  if (byte(0) < 0xc0 || byte(0) > 0xf4 || text.size() < bytes) return {};
  uint32_t code = byte(0) & (0xffU >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fU);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kLeast[bytes] || code > 0x10ffff || surrogate) return {};
  return {code, bytes};
}

bool is_control(uint32_t code) {
  const bool controls = code < 0x20 || (code >= 0x7f && code < 0xa0);
  const bool turns = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return controls || turns;
}

std::string escaped(const char* format, uint32_t code) {
  char text[16];
  std::snprintf(text, sizeof text, format, code);
  return text;
}

std::string escape_of(uint32_t control) {
  if (control == '\n') return "\\n";
  if (control == '\t') return "\\t";
  if (control == '\r') return "\\r";
  return escaped("\\u%04x", control);
}

std::string printable(std::string_view text, bool keep_lines) {
  std::string result;
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.bytes == 0) {
      result += escaped("\\x%02x", static_cast<unsigned char>(text[0]));
    } else if (is_control(character.code) && !(keep_lines && text[0] == '\n')) {
      result += escape_of(character.code);
    } else {
      result += text.substr(0, character.bytes);
    }
    text.remove_prefix(character.bytes == 0 ? 1 : character.bytes);
  }
  return result;
}

}  // namespace

std::string printable(std::string_view text) { return printable(text, /*keep_lines=*/false); }

std::string printable_lines(std::string_view text) { return printable(text, /*keep_lines=*/true); }

}  // namespace gear
