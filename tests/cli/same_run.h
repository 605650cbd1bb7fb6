#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/tiny_setup.h"

/// Whether a run that was disturbed ended as one that was not.
namespace gear::cli::testing {

/// metrics.jsonl without what depends on the clock.
inline std::string timeless_metrics(const fs::path& run) {
  std::ifstream stream(run / "metrics.jsonl");
  std::string text;
  for (std::string line; std::getline(stream, line);) {
    const auto json = nlohmann::ordered_json::parse(line);
    nlohmann::ordered_json kept;
    for (const auto& [name, value] : json.items()) {
      if (!name.starts_with("time/")) kept[name] = value;
    }
    text += kept.dump() + "\n";
  }
  return text;
}

/// File name to SHA-256 of everything in a folder.
inline std::map<std::string, std::string> file_sums(const fs::path& folder) {
  std::map<std::string, std::string> sums;
  for (const std::string& name : names_in(folder)) sums[name] = io::sha256_of_file(folder / name);
  return sums;
}

/// Trains undisturbed in the run folder of `tiny` and moves it away: a disturbed run can then use
/// the same folder, so that not even its configuration differs. Returns where it is now.
inline fs::path train_undisturbed(const TinySetup& tiny, const std::vector<std::string>& settings) {
  const Outcome outcome = tiny.train(settings);
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  const fs::path moved = tiny.root() / "undisturbed";
  fs::rename(tiny.run(), moved);
  return moved;
}

/// The runs ended alike, to the last byte: the checkpoint with its manifest, the previews, and the
/// metrics without the clock. Nothing half-written is left.
inline void expect_same_end(const fs::path& run, const fs::path& expected,
                            const std::string& last) {
  const auto sums = file_sums(run / "checkpoints" / last);
  EXPECT_GE(sums.size(), 11U);  // 8 files of tensors, config, manifest and its checksum
  EXPECT_EQ(sums, file_sums(expected / "checkpoints" / last));
  EXPECT_EQ(file_sums(run / "samples"), file_sums(expected / "samples"));
  EXPECT_EQ(timeless_metrics(run), timeless_metrics(expected));
  EXPECT_EQ(partial_files(run), std::vector<std::string>());
}

}  // namespace gear::cli::testing
