#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gear::cli {

/// One line: (step, value) in the order of the steps. May be empty.
using ChartLine = std::vector<std::pair<int64_t, double>>;

/// One panel. The place of a line in `lines` chooses its colour.
struct Chart {
  std::string title;
  std::vector<ChartLine> lines;
};

/// An SVG picture of the charts, `columns` a row, under one legend of `names` (line i of every
/// chart belongs to names[i]).
std::string draw_charts(const std::vector<Chart>& charts, const std::vector<std::string>& names,
                        int columns);

/// Text for use between tags and in attributes of XML and HTML.
std::string escape_xml(const std::string& text);

}  // namespace gear::cli
