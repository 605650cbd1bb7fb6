#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "cli/tiny_setup.h"
#include "gear/config/config.h"
#include "models/families.h"

/// Runs of the program with the tokenizer of a family.
namespace gear::cli::testing {

/// --set arguments that give its quantizer.
inline std::vector<std::string> settings_of(const models::QuantizerConfig& quantizer) {
  using config::detail::format;
  const std::string key = "tokenizer.quantizer.";
  return {key + "kind=" + format(quantizer.kind),
          key + "codebook_size=" + format(quantizer.codebook_size),
          key + "codebook_dim=" + format(quantizer.codebook_dim),
          key + "groups=" + format(quantizer.groups),
          key + "levels=" + format(quantizer.levels),
          key + "l2_norm=" + format(quantizer.l2_norm),
          key + "cosine=" + format(quantizer.cosine)};
}

/// Run folders made once for all tests of a process; removed at its end.
class KeptRuns {
 public:
  KeptRuns() = default;
  ~KeptRuns() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  KeptRuns(const KeptRuns&) = delete;
  KeptRuns& operator=(const KeptRuns&) = delete;

  fs::path of(const std::string& family) const { return folder_ / family; }

 private:
  const fs::path folder_ =
      fs::temp_directory_path() / ("gear-family-runs-" + std::to_string(::getpid()));
};

/// One step of the joint recipe; grouped LFQ has a tokenizer alone.
inline void train_family(const TinySetup& tiny, const models::Family& family) {
  static const KeptRuns kept;
  const fs::path made = kept.of(family.name);
  if (fs::exists(made)) {
    fs::copy(made, tiny.run(), fs::copy_options::recursive);
    return;
  }
  auto settings = settings_of(family.config.quantizer);
  settings.insert(settings.end(), {"steps=1", "optimizer.warmup_steps=0"});
  if (family.config.quantizer.kind == models::QuantizerKind::kGlfq) {
    settings.emplace_back("recipe=tokenizer");
  }
  const Outcome outcome = tiny.train(settings);
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  fs::create_directories(made.parent_path());
  fs::copy(tiny.run(), made, fs::copy_options::recursive);
}

}  // namespace gear::cli::testing
