#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gear::cli {

/// Writes the curves of the runs into `out`: an HTML page with last values and pictures, or, when
/// the name ends in .svg, the curves alone. `metrics` empty: the telling ones that the runs have.
/// Throws Error where a folder holds no run or no such metric.
void write_report(const std::vector<std::filesystem::path>& runs,
                  const std::vector<std::string>& metrics, const std::filesystem::path& out);

}  // namespace gear::cli
