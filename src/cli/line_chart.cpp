#include "cli/line_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <sstream>

namespace gear::cli {
namespace {

// Pixels of a panel; the plot itself lies inside the margins.
constexpr double kWidth = 320, kHeight = 210;
constexpr double kLeft = 52, kRight = 12, kTop = 26, kBottom = 28;
constexpr double kLegendHeight = 28;

// Distinguishable also for colour-blind readers (Okabe and Ito).
constexpr std::array<const char*, 7> kColours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                 "#E69F00", "#56B4E9", "#000000"};

const char* colour(size_t line) { return kColours[line % kColours.size()]; }

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

struct Range {
  double low = 0.0, high = 1.0;
};

/// 1, 2 or 5 times a power of ten, so that about four ticks fit.
double tick_distance(const Range& range) {
  const double rough = (range.high - range.low) / 4.0;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10.0 * power;
}

class Panel {
 public:
  Panel(const Chart& chart, double x, double y) : chart_(chart), x_(x), y_(y) { measure(); }

  void draw(std::ostream& svg) const {
    svg << "<text x='" << x_ + kLeft << "' y='" << y_ + 17 << "' font-weight='bold'>"
        << escape_xml(chart_.title) << "</text>\n";
    draw_axes(svg);
    for (size_t i = 0; i < chart_.lines.size(); ++i) draw_line(svg, chart_.lines[i], colour(i));
  }

 private:
  void measure() {
    bool first = true;
    for (const ChartLine& line : chart_.lines) {
      for (const auto& [step, value] : line) {
        const auto s = static_cast<double>(step);
        if (first) {
          steps_ = {s, s};
          values_ = {value, value};
          first = false;
        }
        steps_ = {std::min(steps_.low, s), std::max(steps_.high, s)};
        values_ = {std::min(values_.low, value), std::max(values_.high, value)};
      }
    }
    if (steps_.high == steps_.low) steps_.high += 1.0;
    if (values_.high == values_.low) {
      const double margin = std::max(0.5 * std::abs(values_.high), 1e-3);
      values_ = {values_.low - margin, values_.high + margin};
    }
  }

  double at_step(double step) const {
    const double share = (step - steps_.low) / (steps_.high - steps_.low);
    return x_ + kLeft + share * (kWidth - kLeft - kRight);
  }
  double at_value(double value) const {
    const double share = (value - values_.low) / (values_.high - values_.low);
    return y_ + kHeight - kBottom - share * (kHeight - kTop - kBottom);
  }

  void draw_axes(std::ostream& svg) const {
    const double left = x_ + kLeft, right = x_ + kWidth - kRight;
    const double bottom = y_ + kHeight - kBottom;
    double distance = tick_distance(values_);
    for (double v = std::ceil(values_.low / distance) * distance; v <= values_.high;
         v += distance) {
      const double tick = std::abs(v) < 1e-9 * distance ? 0.0 : v;
      svg << "<line x1='" << left << "' x2='" << right << "' y1='" << at_value(tick) << "' y2='"
          << at_value(tick) << "' stroke='#ddd'/><text x='" << left - 4 << "' y='"
          << at_value(tick) + 4 << "' text-anchor='end'>" << number(tick) << "</text>\n";
    }
    distance = std::max(1.0, tick_distance(steps_));
    for (double s = std::ceil(steps_.low / distance) * distance; s <= steps_.high; s += distance) {
      svg << "<text x='" << at_step(s) << "' y='" << bottom + 15 << "' text-anchor='middle'>"
          << number(s) << "</text>\n";
    }
    svg << "<line x1='" << left << "' x2='" << right << "' y1='" << bottom << "' y2='" << bottom
        << "' stroke='#888'/>\n";
  }

  void draw_line(std::ostream& svg, const ChartLine& line, const char* stroke) const {
    if (line.empty()) return;
    svg << "<polyline fill='none' stroke='" << stroke << "' stroke-width='1.6' points='";
    for (const auto& [step, value] : line) {
      svg << number(at_step(static_cast<double>(step))) << ',' << number(at_value(value)) << ' ';
    }
    svg << "'/>\n";
  }

  const Chart& chart_;
  double x_, y_;
  Range steps_, values_;
};

void draw_legend(std::ostream& svg, const std::vector<std::string>& names) {
  double x = kLeft;
  for (size_t i = 0; i < names.size(); ++i) {
    svg << "<line x1='" << x << "' x2='" << x + 22 << "' y1='14' y2='14' stroke-width='3' stroke='"
        << colour(i) << "'/><text x='" << x + 28 << "' y='18'>" << escape_xml(names[i])
        << "</text>\n";
    x += 52 + 7.0 * static_cast<double>(names[i].size());
  }
}

}  // namespace

std::string draw_charts(const std::vector<Chart>& charts, const std::vector<std::string>& names,
                        int columns) {
  const auto count = static_cast<int>(charts.size());
  const int rows = (count + columns - 1) / columns;
  const double width = kWidth * std::min(columns, std::max(count, 1));
  const double height = kLegendHeight + kHeight * rows;
  std::ostringstream svg;
  svg << "<svg xmlns='http://www.w3.org/2000/svg' width='" << width << "' height='" << height
      << "' viewBox='0 0 " << width << ' ' << height
      << "' font-family='sans-serif' font-size='12'>\n<rect width='100%' height='100%' "
         "fill='white'/>\n";
  draw_legend(svg, names);
  for (int i = 0; i < count; ++i) {
    const double x = kWidth * (i % columns), y = kLegendHeight + kHeight * (i / columns);
    Panel(charts[static_cast<size_t>(i)], x, y).draw(svg);
  }
  svg << "</svg>\n";
  return svg.str();
}

std::string escape_xml(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace gear::cli
