#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "gear/train/checkpoint.h"
#include "tiny_run.h"

/// Checkpoints that are damaged after they were written.
namespace gear::train::testing {

/// Two checkpoints, of steps 1 and 2, of which the newer one is damaged again and again.
class DamagedStore {
 public:
  explicit DamagedStore(int64_t elements = 12) : store_(root_.path() / "checkpoints", 3) {
    for (const int64_t step : {1, 2}) {
      const auto ramp = at::arange(elements, at::kFloat) + static_cast<double>(step);
      newest_ = store_.save({.step = step, .seed = 9}, "seed: 9\n",
                            {{"net", {{"weight", ramp.view({2, -1})}}},
                             {"optimizer", {{"step", at::full({}, static_cast<double>(step))}}}});
    }
    files_ = file_bytes(newest_);
  }

  /// The files of the newer checkpoint by name.
  const std::map<std::string, std::string>& files() const { return files_; }

  /// Puts `bytes` in the place of a file. The damage must be noticed and named, and the checkpoint
  /// before be used. Then the file is as it was.
  void expect_noticed(const std::string& name, const std::string& bytes) const {
    write(name, bytes);
    std::string warning;
    const auto found = store_.newest_good([&](const std::string& text) { warning = text; });
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->position().step, 1);
    // A changed checksum file accuses the manifest it belongs to.
    const bool named = warning.find((newest_ / name).string()) != std::string::npos ||
                       (name == "manifest.sha256" &&
                        warning.find((newest_ / "manifest.json").string()) != std::string::npos);
    EXPECT_TRUE(named) << warning;
    EXPECT_TRUE(warning.ends_with("; using step-00000001 instead")) << warning;
    write(name, files_.at(name));
  }

  void expect_whole() const { EXPECT_EQ(store_.newest_good()->position().step, 2); }

 private:
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(newest_ / name, std::ios::binary | std::ios::trunc) << bytes;
  }

  TemporaryFolder root_;
  CheckpointStore store_;
  std::filesystem::path newest_;
  std::map<std::string, std::string> files_;
};

inline std::string with_flipped_bit(std::string bytes, size_t position, int bit) {
  bytes[position] = static_cast<char>(bytes[position] ^ (1 << bit));
  return bytes;
}

}  // namespace gear::train::testing
