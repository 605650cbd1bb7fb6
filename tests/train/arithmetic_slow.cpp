// A hundred steps of joint training in other arithmetic than float32 with direct convolutions.

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "gear/nn/convolution.h"
#include "train/small_recipe.h"

namespace gear::train {
namespace {

using namespace testing;

constexpr int64_t kSteps = 100;
constexpr int64_t kLast = 20;  // steps over which losses are compared

using Curves = std::map<std::string, std::vector<double>>;

RunConfig arithmetic_config() {
  RunConfig config = small_recipe_config(RecipeKind::kGear);
  config.steps = kSteps;
  config.data.image_size = 16;
  config.data.batch_size = 8;
  config.tokenizer.z_channels = 32;
  config.optimizer.tokenizer_lr = config.optimizer.ar_lr = 1e-3;
  config.ar.class_dropout = config.ar.token_dropout = 0.0;
  config.ar.residual_dropout = config.ar.ffn_dropout = 0.0;
  return config;
}

Curves train(const RunConfig& config, ops::ConvMethod method) {
  nn::set_conv_method(method);
  const auto recipe = make_recipe(config).recipe;
  Curves curves;
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto batch = small_batch(config, static_cast<uint64_t>(step % 4));
    for (const auto& [name, value] : step_metrics(*recipe, batch, {.step = step})) {
      curves[name].push_back(value);
    }
  }
  nn::set_conv_method(ops::ConvMethod::kDirect);
  return curves;
}

double late_mean(const std::vector<double>& values) {
  return std::accumulate(values.end() - kLast, values.end(), 0.0) / kLast;
}

/// Every loss falls or rises as in `expected`, up to `bound` of its value.
void expect_same_course(const Curves& found, const Curves& expected, double bound) {
  for (const std::string name : {"reconstruction_loss", "commit_loss", "ce_loss", "proj_loss_vq",
                                 "proj_loss_ar", "disc/d_loss"}) {
    const double wanted = late_mean(expected.at(name));
    EXPECT_NEAR(late_mean(found.at(name)), wanted, bound * std::abs(wanted)) << name;
    EXPECT_NE(found.at(name).back(), expected.at(name).back()) << name << ": was it used at all?";
  }
}

class Arithmetic : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    expected_ = new Curves(train(arithmetic_config(), ops::ConvMethod::kDirect));
  }
  static void TearDownTestSuite() { delete expected_; }

  static Curves* expected_;
};
Curves* Arithmetic::expected_ = nullptr;

TEST_F(Arithmetic, TheRunLearns) {
  const auto& loss = expected_->at("reconstruction_loss");
  EXPECT_LT(late_mean(loss), 0.9 * loss.front());
}

// Errors of 1e-6 grow where a token lies between two codes; the course of the losses stays.
TEST_F(Arithmetic, OfWinogradsConvolutionsFollowsTheDirectOne) {
  if (!ops::has_winograd()) GTEST_SKIP() << "no vectors of eight floats on this processor";
  expect_same_course(train(arithmetic_config(), ops::ConvMethod::kWinograd), *expected_, 0.03);
}

TEST_F(Arithmetic, InBfloat16FollowsFloat32) {
  auto config = arithmetic_config();
  config.precision = Precision::kBf16;
  expect_same_course(train(config, ops::ConvMethod::kDirect), *expected_, 0.1);
}

}  // namespace
}  // namespace gear::train
