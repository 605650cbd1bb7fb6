#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/tiny_setup.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;

/// The file of --json after a run that went well.
nlohmann::json figures(const TinySetup& tiny, std::vector<std::string> arguments) {
  const std::string path = (tiny.root() / "figures.json").string();
  arguments.insert(arguments.begin(), "bench");
  arguments.insert(arguments.end(), {"--rounds", "1", "--json", path});
  const Outcome outcome = tiny.gear(arguments);
  EXPECT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("median ms"));
  return nlohmann::json::parse(io::read_bytes(path));
}

void expect_measurements(const nlohmann::json& json, size_t count) {
  ASSERT_EQ(json.at("measurements").size(), count);
  for (const auto& measured : json.at("measurements")) {
    EXPECT_GT(measured.at("median_seconds").get<double>(), 0.0);
    EXPECT_GT(measured.at("items").get<double>(), 0.0);
  }
  EXPECT_GT(json.at("peaks").at("fp32_flops").get<double>(), 0.0);
  EXPECT_TRUE(json.at("machine").at("quiet").is_boolean());
}

TEST(Bench, ReadoutComparesTheStreamedOneWithTheDenseFormula) {
  const TinySetup tiny;
  const std::vector<std::string> sizes = {"--tokens", "64", "--codes", "128", "--dim", "16"};
  std::vector<std::string> arguments = {"readout"};
  arguments.insert(arguments.end(), sizes.begin(), sizes.end());
  expect_measurements(figures(tiny, arguments), 2);
  arguments.insert(arguments.end(), {"--bf16", "--skip-dense"});
  expect_measurements(figures(tiny, arguments), 2);
}

TEST(Bench, LossComparesTheFusedOneWithTheUnfused) {
  const TinySetup tiny;
  expect_measurements(figures(tiny, {"loss", "--tokens", "64", "--codes", "128", "--dim", "16"}),
                      2);
}

TEST(Bench, StepSampleAndLoaderTakeWhatTrainingTakes) {
  const TinySetup tiny;
  const std::string config = tiny.config().string();
  expect_measurements(figures(tiny, {"step", config}), 1);
  expect_measurements(figures(tiny, {"sample", config, "--bf16"}), 2);
  expect_measurements(
      figures(tiny, {"loader", tiny.data().string(), "--image-size", "16", "--batch", "4"}), 1);
}

TEST(Bench, AMissingConfigurationIsNamed) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "none.yaml").string();
  expect_user_error(tiny.gear({"bench", "step", path}), path + ": no such configuration file");
}

}  // namespace
}  // namespace gear::cli::testing
