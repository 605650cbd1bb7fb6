#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace gear::data {

/// One fully-qualified emoji of Unicode's emoji-test.txt.
struct Emoji {
  std::vector<uint32_t> code_points;
  std::string name;
  std::string group;
  std::string subgroup;
};

/// In the order of the file. Without `skin_tones`, sequences with a skin-tone modifier are left
/// out.
std::vector<Emoji> read_emoji_list(const std::filesystem::path& path, bool skin_tones);

/// "Smileys & Emotion" -> "smileys-emotion"
std::string slug(const std::string& text);

/// "1f468-200d-1f373"
std::string code_points_text(const Emoji& emoji);

}  // namespace gear::data
