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
  expect_measurements(figures(tiny, {"sample", config}), 4);  // plain, fp32, bf16, int8
  expect_measurements(
      figures(tiny, {"sample", config, "--weights", "int8,bf16", "--batch", "2", "--skip-plain"}),
      2);
  expect_measurements(
      figures(tiny, {"loader", tiny.data().string(), "--image-size", "16", "--batch", "4"}), 1);
}

TEST(Bench, SampleCountsTheBytesOfTheWeightsInEachFormat) {
  const TinySetup tiny;
  const auto json = figures(tiny, {"sample", tiny.config().string()});
  const auto& measured = json.at("measurements");
  const auto bytes = [&](size_t i) { return measured.at(i).at("bytes").get<double>(); };
  EXPECT_EQ(bytes(0), bytes(1));
  EXPECT_NEAR(bytes(2) / bytes(1), 0.5, 0.05);   // the norms stay float32
  EXPECT_NEAR(bytes(3) / bytes(1), 0.25, 0.10);  // and there are scales
  EXPECT_EQ(measured.at(1).at("items"), 64);
}

TEST(Bench, AnUnknownFormatOfWeightsIsRefused) {
  const TinySetup tiny;
  expect_user_error(
      tiny.gear({"bench", "sample", tiny.config().string(), "--weights", "bf16,int4"}),
      "--weights: expected fp32, bf16 or int8, got int4");
}

TEST(Bench, ThreadsOfTheCommandGoBeforeThoseOfTheConfiguration) {
  const TinySetup tiny;  // of one thread
  const auto json = figures(tiny, {"step", tiny.config().string(), "--threads", "2"});
  EXPECT_EQ(json.at("machine").at("threads"), 2);
}

TEST(Bench, AMissingConfigurationIsNamed) {
  const TinySetup tiny;
  const std::string path = (tiny.root() / "none.yaml").string();
  expect_user_error(tiny.gear({"bench", "step", path}), path + ": no such configuration file");
}

}  // namespace
}  // namespace gear::cli::testing
