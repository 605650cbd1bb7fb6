#include "emoji_list.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "gear/core/error.h"

namespace gear::data {
namespace {

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

bool is_skin_tone(uint32_t code_point) { return code_point >= 0x1F3FB && code_point <= 0x1F3FF; }

/// "<code points> ; <status> # <the emoji> E<version> <name>"; false for other statuses.
bool parse_line(const std::string& line, Emoji& emoji) {
  const size_t semicolon = line.find(';');
  const size_t hash = line.find('#', semicolon);
  if (semicolon == std::string::npos || hash == std::string::npos) return false;
  if (trimmed(line.substr(semicolon + 1, hash - semicolon - 1)) != "fully-qualified") return false;
  std::istringstream codes(line.substr(0, semicolon));
  for (uint32_t code = 0; codes >> std::hex >> code;) emoji.code_points.push_back(code);
  std::istringstream comment(line.substr(hash + 1));
  std::string drawing, version, name;
  comment >> drawing >> version;
  std::getline(comment, name);
  emoji.name = trimmed(name);
  return !emoji.code_points.empty();
}

}  // namespace

std::vector<Emoji> read_emoji_list(const std::filesystem::path& path, bool skin_tones) {
  constexpr std::string_view kGroup = "# group:", kSubgroup = "# subgroup:";
  std::ifstream stream(path);
  if (!stream) {
    fail(path.string(),
         ": the list of emoji is not there; install the Debian package unicode-data");
  }
  std::vector<Emoji> list;
  std::string group, subgroup;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with(kGroup)) {
      group = trimmed(line.substr(kGroup.size()));
    } else if (line.starts_with(kSubgroup)) {
      subgroup = trimmed(line.substr(kSubgroup.size()));
    } else if (!line.empty() && line[0] != '#') {
      Emoji emoji;
      emoji.group = group;
      emoji.subgroup = subgroup;
      if (!parse_line(line, emoji)) continue;
      const auto& codes = emoji.code_points;
      if (!skin_tones && std::any_of(codes.begin(), codes.end(), is_skin_tone)) continue;
      list.push_back(std::move(emoji));
    }
  }
  if (list.empty()) {
    fail(path.string(), ": lists no fully-qualified emoji; expected Unicode's emoji-test.txt");
  }
  return list;
}

std::string slug(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool kept = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    if (kept) {
      result += lower;
    } else if (!result.empty() && result.back() != '-') {
      result += '-';
    }
  }
  if (!result.empty() && result.back() == '-') result.pop_back();
  return result;
}

std::string code_points_text(const Emoji& emoji) {
  std::string text;
  for (const uint32_t code : emoji.code_points) {
    char hex[16];
    std::snprintf(hex, sizeof hex, "%x", code);
    if (!text.empty()) text += '-';
    text += hex;
  }
  return text;
}

}  // namespace gear::data
