#include <algorithm>
#include <sstream>

#include "gear/config/text.h"

namespace gear::config {

std::vector<std::pair<std::string, std::string>> flat_keys(const std::string& yaml) {
  std::vector<std::pair<std::string, std::string>> keys;
  std::vector<std::string> sections;
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) {
    const size_t indent = line.find_first_not_of(' ');
    const size_t colon = line.find(':');
    if (indent == std::string::npos || line[indent] == '#' || colon == std::string::npos) continue;
    sections.resize(std::min(sections.size(), indent / 2));
    const std::string key = line.substr(indent, colon - indent);
    if (colon + 1 == line.size()) {
      sections.push_back(key);
      continue;
    }
    std::string dotted;
    for (const std::string& section : sections) dotted += section + ".";
    keys.emplace_back(dotted + key, line.substr(colon + 2));
  }
  return keys;
}

}  // namespace gear::config
