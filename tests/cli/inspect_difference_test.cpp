// gear inspect --diff: what it says of two files, and its exit codes.

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/tiny_setup.h"
#include "gear/io/safetensors.h"
#include "io/pickle_builder.h"

namespace gear::cli::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using namespace io::pickled;

constexpr int kSame = 0, kDifferent = 1;

/// Files a and b, to be compared.
class Difference : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const io::NamedTensors& tensors) const {
    const fs::path path = tiny_.root() / name;
    io::write_safetensors(path, tensors);
    return path.string();
  }
  std::string write_torch(const std::string& name, const std::string& body) const {
    const fs::path path = tiny_.root() / name;
    io::write_bytes(path, io::torch_zip(body));
    return path.string();
  }
  Outcome diff(const std::string& a, const std::string& b,
               const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"inspect", "--diff", a, b};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return tiny_.gear(arguments);
  }

  TinySetup tiny_;
};

/// The first ten numbers, in the storage that torch_zip writes.
std::string numbers() { return tensor(storage("0", 10), {10}, {1}); }

TEST_F(Difference, OfEqualTensorsInTwoFormatsIsNone) {
  const auto ten = at::arange(10, at::kFloat);
  const Outcome outcome =
      diff(write("a.safetensors", {{"layer.weight", ten}}),
           write_torch("b.pt", dict({{"module._orig_mod.layer.weight", numbers()}})));
  EXPECT_EQ(outcome.exit_code, kSame) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("1 tensors equal\n"));
  EXPECT_THAT(outcome.out, HasSubstr("largest difference 0, relative L2 0\nthe same\n"));
}

TEST_F(Difference, NamesWhatOnlyOneSideHasAndWhatDiffers) {
  const std::string a = write("a.safetensors", {{"only_a", at::zeros({2})},
                                                {"shape", at::zeros({2, 3})},
                                                {"type", at::ones({2})},
                                                {"values", at::full({4}, 2.0)},
                                                {"same", at::ones({5})}});
  const std::string b = write("b.safetensors", {{"only_b", at::zeros({3}, at::kLong)},
                                                {"shape", at::zeros({3, 2})},
                                                {"type", at::ones({2}, at::kBFloat16)},
                                                {"values", at::full({4}, 2.5)},
                                                {"same", at::ones({5})}});
  const Outcome outcome = diff(a, b);
  EXPECT_EQ(outcome.exit_code, kDifferent) << outcome.err;
  for (const std::string& text :
       {"1 tensors only in " + a + "\n  only_a: F32 [2]\n",
        "1 tensors only in " + b + "\n  only_b: I64 [3]\n",
        std::string("1 tensors of another shape\n  shape: F32 [2, 3] and F32 [3, 2]\n"),
        std::string("1 tensors of another type\n  type: F32 [2] and BF16 [2], largest difference 0,"
                    " relative L2 0\n"),
        std::string("1 tensors with other values\n  values: largest difference 0.5, relative L2 "
                    "0.25\n"),
        std::string("1 tensors equal\n")}) {
    EXPECT_THAT(outcome.out, HasSubstr(text));
  }
  // Squares: 4 * 0.25 of the difference; 2 * 1 + 4 * 4 + 5 * 1 of the first side.
  EXPECT_THAT(outcome.out, HasSubstr("all shared tensors together: largest difference 0.5, "
                                     "relative L2 0.209\ndifferent\n"));
}

TEST_F(Difference, OfNanInTheSamePlaceIsNoneAndElsewhereIsNan) {
  auto with_nan = at::arange(4, at::kFloat);
  with_nan[1] = std::nan("");
  auto other_payload = with_nan.clone();
  other_payload[1] = -std::nan("");
  const std::string a = write("a.safetensors", {{"w", with_nan}});
  EXPECT_EQ(diff(a, a).exit_code, kSame);
  EXPECT_THAT(diff(a, write("b.safetensors", {{"w", other_payload}})).out,
              HasSubstr("w: largest difference 0, relative L2 0"));
  EXPECT_THAT(diff(a, write("c.safetensors", {{"w", at::arange(4, at::kFloat)}})).out,
              HasSubstr("w: largest difference nan"));
}

TEST_F(Difference, ChoosesAPartOfAFileWithSeveral) {
  const std::string a =
      write_torch("a.pt", dict({{"vq", dict({{"w", tensor(storage("0", 10), {2}, {1}, 3)}})},
                                {"vq_ema", dict({{"w", tensor(storage("0", 10), {2}, {1}, 5)}})}}));
  const std::string b = write("b.safetensors", {{"w", at::arange(5, 7, at::kFloat)}});
  EXPECT_EQ(diff(a + "#vq_ema", b).exit_code, kSame);
  EXPECT_EQ(diff(a + "#vq", b).exit_code, kDifferent);
  EXPECT_EQ(diff(a + "#vq", a + "#vq_ema").exit_code, kDifferent);
  EXPECT_EQ(diff(a, a, {"--part", "vq"}).exit_code, kSame);
  EXPECT_THAT(diff(a, a).out, HasSubstr("2 tensors equal"));
  expect_user_error(diff(a + "#ar", b), a + ": has no part ar; it has vq, vq_ema");
}

TEST_F(Difference, OfCheckpointsComparesTheirGroups) {
  ASSERT_EQ(tiny_.train({"steps=2", "output.checkpoint_every=1"}).exit_code, exit_code::kSuccess);
  const fs::path checkpoints = tiny_.run() / "checkpoints";
  const std::string first = (checkpoints / "step-00000001").string();
  const std::string second = (checkpoints / "step-00000002").string();
  const Outcome outcome = diff(first, second, {"--tensors"});
  EXPECT_EQ(outcome.exit_code, kDifferent) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("  tokenizer/encoder.conv_in.weight: largest difference"));
  EXPECT_EQ(diff(tiny_.run().string(), second).exit_code, kSame);
  EXPECT_EQ(diff(second + "#tokenizer", second + "/tokenizer.safetensors").exit_code, kSame);
}

TEST_F(Difference, WithoutValuesComparesNamesAndShapes) {
  const std::string a = write("a.safetensors", {{"w", at::zeros({2})}});
  const std::string b = write("b.safetensors", {{"w", at::ones({2})}});
  const Outcome outcome = diff(a, b, {"--no-values"});
  EXPECT_EQ(outcome.exit_code, kSame);
  EXPECT_THAT(outcome.out, HasSubstr("values were not compared (--no-values)"));
}

TEST_F(Difference, AsJsonListsEveryTensor) {
  const std::string a = write("a.safetensors", {{"w", at::zeros({2})}, {"x", at::ones({2})}});
  const std::string b = write("b.safetensors", {{"w", at::ones({2})}, {"x", at::ones({2})}});
  const auto json = nlohmann::json::parse(diff(a, b, {"--json"}).out);
  EXPECT_EQ(json["same"], false);
  EXPECT_EQ(json["largest"], 1.0);
  EXPECT_EQ(json["values"][0]["name"], "w");
  EXPECT_EQ(json["equal"][0]["name"], "x");
  EXPECT_TRUE(json["only_first"].empty());
}

TEST_F(Difference, OfSomethingThatIsNoWeightsIsAnErrorWithExitCode2) {
  const std::string a = write("a.safetensors", {{"w", at::zeros({2})}});
  const std::string missing = (tiny_.root() / "none.pt").string();
  expect_user_error(diff(a, missing),
                    missing +
                        ": no such file or folder; expected a run folder, a checkpoint folder or "
                        "a weight file, and behind it # and a part where one of several is meant");
  const std::string page = (tiny_.root() / "page.pt").string();
  io::write_bytes(page, "<html></html>");
  EXPECT_EQ(diff(page, a).exit_code, exit_code::kUserError);
  EXPECT_THAT(diff(page, a).err, HasSubstr("is a web page"));
}

}  // namespace
}  // namespace gear::cli::testing
