#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "project_folders.h"

/// The tables of configs/README.md that say where each published knob is.
namespace gear::testing {

struct KnobRow {
  std::string published;
  std::vector<std::string> here;  ///< what stands in backticks: keys, and options of commands
  bool left_out = false;
  std::string default_here;
  std::string remark;
};

inline std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? ""
                                    : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

inline std::vector<std::string> in_backticks(const std::string& cell) {
  std::vector<std::string> found;
  for (size_t open = cell.find('`'); open != std::string::npos;) {
    const size_t close = cell.find('`', open + 1);
    found.push_back(cell.substr(open + 1, close - open - 1));
    open = cell.find('`', close + 1);
  }
  return found;
}

/// The rows of every table with the head "| published | default there | here | ...".
inline std::vector<KnobRow> knob_rows() {
  std::ifstream stream(GEAR_SOURCE_DIR "/configs/README.md");
  std::vector<KnobRow> rows;
  bool inside = false;
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("|")) inside = false;
    if (inside && !line.starts_with("|---")) {
      std::stringstream stream_of_cells(line.substr(1));
      std::vector<std::string> cells;
      for (std::string cell; std::getline(stream_of_cells, cell, '|');) {
        cells.push_back(trimmed(cell));
      }
      cells.resize(5);
      rows.push_back({.published = cells[0],
                      .here = in_backticks(cells[2]),
                      .left_out = cells[2] == "left out",
                      .default_here = cells[3],
                      .remark = cells[4]});
    }
    if (line.starts_with("| published |")) inside = true;
  }
  return rows;
}

inline bool is_command(const std::string& here) { return here.starts_with("gear "); }

}  // namespace gear::testing
