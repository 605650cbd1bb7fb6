// gear report: the curves of runs, drawn from their metrics.jsonl.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/tiny_setup.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

int count_of(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class Report : public ::testing::Test {
 protected:
  Report() {
    fs::create_directories(folder_ / "soft");
    fs::create_directories(folder_ / "ste");
    io::write_bytes(folder_ / "soft" / "metrics.jsonl",
                    "{\"step\":10,\"ce_loss\":6.5,\"codebook_usage\":0.9}\n"
                    "{\"step\":20,\"ce_loss\":5.25,\"codebook_usage\":null}\n"
                    "{\"step\":30,\"ce_lo");
    io::write_bytes(folder_ / "ste" / "metrics.jsonl", "{\"step\":10,\"ce_loss\":6.75}\n");
  }
  Outcome report(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "report");
    return run_gear(folder_.path(), arguments);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  io::TemporaryFolder folder_;
};

TEST_F(Report, ShowsTheCurvesOfTwoRunsSideBySideAndTheirLastFiniteValues) {
  const Outcome outcome = report({path("soft"), path("ste"), "--out", path("both.html")});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_EQ(outcome.out, path("both.html") + "\n");
  const std::string page = io::read_bytes(path("both.html"));
  EXPECT_EQ(count_of(page, "<polyline"), 3) << "ce_loss twice, codebook_usage once";
  EXPECT_THAT(page, HasSubstr("<td>ce_loss</td><td>5.25 (step 20)</td><td>6.75 (step 10)</td>"));
  EXPECT_THAT(page, HasSubstr("<td>codebook_usage</td><td>0.9 (step 10)</td><td></td>"));
}

TEST_F(Report, WritesTheCurvesAloneAsSvg) {
  const Outcome outcome =
      report({"--metrics", "ce_loss", path("soft"), "--out", path("curves.svg")});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  const std::string picture = io::read_bytes(path("curves.svg"));
  EXPECT_THAT(picture, ::testing::StartsWith("<svg "));
  EXPECT_EQ(count_of(picture, "<polyline"), 1);
  EXPECT_THAT(picture, Not(HasSubstr("codebook_usage")));
}

TEST_F(Report, OfOneRunGoesIntoItsFolder) {
  const Outcome outcome = report({path("soft")});
  ASSERT_EQ(outcome.exit_code, exit_code::kSuccess) << outcome.err;
  EXPECT_TRUE(fs::exists(folder_ / "soft" / "report.html"));
}

TEST_F(Report, NamesTheNearestMetricAndWhatIsNoRun) {
  expect_user_error(report({path("soft"), "--metrics", "ce_los"}),
                    "--metrics: no run has ce_los; did you mean ce_loss?");
  expect_user_error(report({path("nothing")}),
                    path("nothing") +
                        ": is no run folder (it has no metrics.jsonl); name the run_dir of "
                        "a gear train");
  expect_user_error(report({path("soft"), path("ste")}),
                    "--out: is needed when several runs are compared, as in --out comparison.html");
}

TEST_F(Report, IsWrittenOnlyToWhatIsNamedAsAReport) {
  io::write_bytes(folder_ / "notes.txt", "mine");
  expect_user_error(
      report({path("soft"), "--out", path("notes.txt")}),
      "--out: " + path("notes.txt") + ": must end in .html, or in .svg for the curves alone");
  EXPECT_EQ(io::read_bytes(folder_ / "notes.txt"), "mine");
  expect_user_error(
      report({path("soft"), "--out", path("ste")}),
      "--out: " + path("ste") + ": is a folder; name a file, as in " + path("ste/report.html"));
}

}  // namespace
}  // namespace gear::cli::testing
