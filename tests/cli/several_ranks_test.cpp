// `gear train --nproc-per-node` gives what one process gives.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/tiny_setup.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;

/// Name to value of each line of metrics.jsonl, but for what the clock says.
std::vector<std::map<std::string, double>> metrics_of(const fs::path& run) {
  std::ifstream stream(run / "metrics.jsonl");
  std::vector<std::map<std::string, double>> lines;
  for (std::string line; std::getline(stream, line);) {
    auto& values = lines.emplace_back();
    const auto json = nlohmann::json::parse(line);
    for (const auto& [name, value] : json.items()) {
      if (value.is_number() && !name.starts_with("time/")) values[name] = value;
    }
  }
  return lines;
}

std::vector<std::string> settings_for(const std::string& run, const std::string& shard) {
  return {"run_dir=" + run, "data.batch_size=12", "steps=4", "parallel.shard=" + shard,
          "output.checkpoint_every=2"};
}

TEST(SeveralRanks, TrainLikeOneProcess) {
  const TinySetup tiny;
  const std::string alone = (tiny.root() / "alone").string();
  ASSERT_EQ(tiny.train(settings_for(alone, "none")).exit_code, exit_code::kSuccess);
  const auto expected = metrics_of(alone);
  ASSERT_EQ(expected.size(), 4U);
  for (const std::string shard : {"none", "full"}) {
    const std::string run = (tiny.root() / shard).string();
    const Outcome outcome = tiny.train(settings_for(run, shard), {"--nproc-per-node", "2"});
    ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
    const auto found = metrics_of(run);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t step = 0; step < expected.size(); ++step) {
      ASSERT_EQ(found[step].size(), expected[step].size());
      for (const auto& [name, value] : expected[step]) {
        // Norms of gradients see the random walk of biases that a norm behind them takes out.
        const double tolerance = name.find("grad_norm") == std::string::npos ? 1e-5 : 1e-3;
        EXPECT_NEAR(found[step].at(name), value, tolerance * std::max(1.0, std::abs(value)))
            << name << " of step " << step + 1 << ", parallel.shard=" << shard;
      }
    }
    EXPECT_EQ(names_in(fs::path(run) / "checkpoints"),
              (std::set<std::string>{"step-00000002", "step-00000004"}));
    const Outcome sampled = tiny.gear({"sample", run, "--classes", "0", "--per-class", "1", "--out",
                                       (tiny.root() / ("pictures-" + shard)).string()});
    EXPECT_EQ(sampled.exit_code, exit_code::kSuccess) << sampled.err;
  }
}

TEST(SeveralRanks, PreviewsAndEvaluationsAreThoseOfOneProcess) {
  const TinySetup tiny;
  const auto settings = [&](const std::string& run) {
    auto all = settings_for(run, "full");
    all.insert(all.end(),
               {"parallel.deterministic=true", "optimizer.accumulation=4", "output.preview_every=2",
                "output.preview_images=2", "output.sample_top_k=0", "output.eval_every=2",
                "data.val_path=" + tiny.data().string()});
    return all;
  };
  const fs::path alone = tiny.root() / "alone";
  const fs::path run = tiny.root() / "run2";
  ASSERT_EQ(tiny.train(settings(alone.string())).exit_code, exit_code::kSuccess);
  const Outcome outcome = tiny.train(settings(run.string()), {"--nproc-per-node", "2"});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_EQ(metrics_of(run), metrics_of(alone));
  for (const std::string name : {"step-00000002.png", "step-00000004.png"}) {
    EXPECT_EQ(io::sha256_of_file(run / "samples" / name),
              io::sha256_of_file(alone / "samples" / name));
  }
}

TEST(SeveralRanks, APreviewThatCannotBeWrittenEndsAllAndLosesNoStep) {
  const TinySetup tiny;
  for (const std::string shard : {"none", "full"}) {
    const fs::path run = tiny.root() / shard;
    const fs::path picture = run / "samples" / "step-00000001.png";
    fs::create_directories(picture / "in the way");
    auto settings = settings_for(run.string(), shard);
    settings.insert(settings.end(), {"output.preview_every=1", "output.preview_images=2"});
    const Outcome outcome = tiny.train(settings, {"--nproc-per-node", "2"});
    EXPECT_EQ(outcome.exit_code, exit_code::kUserError) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("error: " + picture.string()));
    EXPECT_THAT(outcome.err, HasSubstr("error: another rank failed: " + picture.string()));
    EXPECT_EQ(names_in(run / "checkpoints"), std::set<std::string>{"step-00000001"});
  }
}

TEST(SeveralRanks, ABatchThatCannotBeDividedIsRefusedInOneSentence) {
  const TinySetup tiny;
  const Outcome outcome = tiny.train({"data.batch_size=5"}, {"--nproc-per-node", "2"});
  EXPECT_EQ(outcome.exit_code, exit_code::kUserError);
  EXPECT_THAT(outcome.err, HasSubstr("data.batch_size: must be a multiple of 2"));
  EXPECT_FALSE(fs::exists(tiny.run() / "metrics.jsonl"));
}

}  // namespace
}  // namespace gear::cli::testing
