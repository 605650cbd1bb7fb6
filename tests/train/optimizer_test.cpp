#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gear/train/adamw.h"
#include "gear/train/ema.h"
#include "gear/train/grad_clip.h"
#include "gear/train/metrics.h"
#include "gear/train/nonfinite.h"
#include "gear/train/schedule.h"

namespace gear::train {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

NamedParameter parameter(const std::string& name, const Tensor& value) {
  return {name, value.clone(at::MemoryFormat::Preserve).requires_grad_(true)};
}

/// The closed form in float64.
Tensor adamw_reference(Tensor p, const std::vector<Tensor>& gradients, const AdamWOptions& options,
                       double lr) {
  p = p.to(at::kDouble);
  Tensor m = at::zeros_like(p);
  Tensor v = at::zeros_like(p);
  for (size_t t = 1; t <= gradients.size(); ++t) {
    const Tensor g = gradients[t - 1].to(at::kDouble);
    m = options.beta1 * m + (1 - options.beta1) * g;
    v = options.beta2 * v + (1 - options.beta2) * g * g;
    const auto power = static_cast<double>(t);
    const Tensor m_hat = m / (1 - std::pow(options.beta1, power));
    const Tensor v_hat = v / (1 - std::pow(options.beta2, power));
    p = p * (1 - lr * options.weight_decay) - lr * m_hat / (v_hat.sqrt() + options.eps);
  }
  return p;
}

TEST(AdamW, MatchesTheClosedFormInFloat64) {
  at::manual_seed(1);
  const AdamWOptions options{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
  const Tensor start = at::randn({37, 11});
  auto p = parameter("p", start);
  AdamW optimizer({p}, options);
  std::vector<Tensor> gradients;
  for (int step = 0; step < 5; ++step) {
    gradients.push_back(at::randn({37, 11}));
    p.second.mutable_grad() = gradients.back().clone();
    optimizer.step(0.01);
  }
  // Five float32 updates of values near 1: a few units in the last place.
  const Tensor error = (p.second.detach() - adamw_reference(start, gradients, options, 0.01)).abs();
  EXPECT_LT(error.max().item<double>(), 2e-6);
}

TEST(AdamW, LeavesAParameterWithoutGradientAlone) {
  auto with = parameter("with", at::ones({3}));
  auto without = parameter("without", at::ones({3}));
  AdamW optimizer({with, without}, {.weight_decay = 0.5});
  with.second.mutable_grad() = at::ones({3});
  optimizer.step(0.1);
  EXPECT_LT(with.second.max().item<float>(), 1.0F);
  EXPECT_TRUE(without.second.equal(at::ones({3})));
  const auto state = optimizer.state("optimizer").tensors;
  EXPECT_EQ(state[2].first, "step.with");
  EXPECT_EQ(state[2].second.item<float>(), 1.0F);
  EXPECT_EQ(state[5].first, "step.without");
  EXPECT_EQ(state[5].second.item<float>(), 0.0F);
}

TEST(AdamW, TakesGradientsOfAnotherMemoryFormat) {
  at::manual_seed(2);
  const Tensor start = at::randn({4, 3, 2, 2});
  const Tensor gradient = at::randn({4, 3, 2, 2});
  auto plain = parameter("p", start);
  auto channels_last = parameter("p", start.contiguous(at::MemoryFormat::ChannelsLast));
  AdamW plain_optimizer({plain}, {});
  AdamW channels_last_optimizer({channels_last}, {});
  plain.second.mutable_grad() = gradient.contiguous(at::MemoryFormat::ChannelsLast);
  channels_last.second.mutable_grad() = gradient.clone();
  plain_optimizer.step(0.01);
  channels_last_optimizer.step(0.01);
  const Tensor expected = adamw_reference(start, {gradient}, {}, 0.01).to(at::kFloat);
  EXPECT_TRUE(at::allclose(plain.second, expected, 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(channels_last.second, expected, 1e-5, 1e-6));
}

TEST(AdamW, StateSharesStorageSoThatACheckpointCanBeLoadedIntoIt) {
  auto p = parameter("p", at::ones({2}));
  AdamW optimizer({p}, {});
  optimizer.state("optimizer").tensors[0].second.fill_(3.0);
  EXPECT_EQ(optimizer.state("optimizer").tensors[0].second[1].item<float>(), 3.0F);
}

TEST(AdamW, ZeroGradFreesTheGradients) {
  auto p = parameter("p", at::ones({2}));
  AdamW optimizer({p}, {});
  p.second.mutable_grad() = at::ones({2});
  optimizer.zero_grad();
  EXPECT_FALSE(p.second.grad().defined());
}

TEST(GradClip, ScalesToTheNormOnlyWhenAboveIt) {
  auto a = parameter("a", at::zeros({2}));
  auto b = parameter("b", at::zeros({1}));
  auto without = parameter("without", at::zeros({1}));
  a.second.mutable_grad() = at::full({2}, 2.0);
  b.second.mutable_grad() = at::full({1}, 1.0);  // norm 3
  EXPECT_FLOAT_EQ(clip_grad_norm({a, b, without}, 10.0).item<float>(), 3.0F);
  EXPECT_EQ(a.second.grad()[0].item<float>(), 2.0F);
  EXPECT_FLOAT_EQ(clip_grad_norm({a, b, without}, 1.5).item<float>(), 3.0F);
  EXPECT_NEAR(a.second.grad()[0].item<float>(), 1.0F, 1e-6);
  EXPECT_NEAR(b.second.grad()[0].item<float>(), 0.5F, 1e-6);
}

TEST(GradClip, NormOfNoGradientsIsZero) {
  EXPECT_EQ(clip_and_check({parameter("a", at::zeros({2}))}, 1.0).item<float>(), 0.0F);
  EXPECT_EQ(clip_and_check({}, 1.0).item<float>(), 0.0F);
}

TEST(GradClip, NamesTheFirstBadGradientAndChangesNone) {
  auto good = parameter("ar.good", at::zeros({2}));
  auto bad = parameter("ar.bad", at::zeros({2}));
  good.second.mutable_grad() = at::full({2}, 7.0);
  for (const float value : {kInfinity, std::nanf("")}) {
    bad.second.mutable_grad() = at::tensor({0.0F, value});
    try {
      clip_and_check({good, bad}, 1.0);
      FAIL() << "expected NonFiniteError";
    } catch (const NonFiniteError& error) {
      EXPECT_STREQ(error.what(), "the gradient of ar.bad is not finite");
    }
    EXPECT_EQ(good.second.grad()[0].item<float>(), 7.0F);
  }
}

TEST(GradClip, SaysWhenOnlyTheNormOverflows) {
  auto a = parameter("a", at::zeros({1}));
  auto b = parameter("b", at::zeros({1}));
  a.second.mutable_grad() = at::full({1}, 3e38);
  b.second.mutable_grad() = at::full({1}, 3e38);
  try {
    clip_and_check({a, b}, 1.0);
    FAIL() << "expected NonFiniteError";
  } catch (const NonFiniteError& error) {
    EXPECT_STREQ(error.what(),
                 "the gradients from a to b are too large: their norm overflows float32");
  }
}

TEST(Schedule, FirstUpdateOfAWarmUpHasRateZero) {
  OptimizerConfig config;
  config.warmup_steps = 4;
  const std::vector<double> expected = {0.0, 0.5, 1.0, 1.5, 2.0, 2.0};
  for (size_t s = 0; s < expected.size(); ++s) {
    EXPECT_DOUBLE_EQ(scheduled_lr(config, 2.0, static_cast<int64_t>(s), 100), expected[s]);
  }
  config.warmup_steps = 0;
  EXPECT_EQ(scheduled_lr(config, 2.0, 0, 100), 2.0);
}

TEST(Schedule, CosineFallsFromTheBaseRateToTheLeastOneAndStays) {
  OptimizerConfig config;
  config.schedule = Schedule::kCosine;
  config.warmup_steps = 10;
  config.lr_min = 0.2;
  EXPECT_DOUBLE_EQ(scheduled_lr(config, 1.0, 10, 110), 1.0);
  EXPECT_DOUBLE_EQ(scheduled_lr(config, 1.0, 60, 110), 0.6);
  EXPECT_DOUBLE_EQ(scheduled_lr(config, 1.0, 110, 110), 0.2);
  EXPECT_DOUBLE_EQ(scheduled_lr(config, 1.0, 5000, 110), 0.2);
}

TEST(Ema, AveragesFloatsCopiesIntegersAndLeavesConstantsAlone) {
  const NamedTensors live = {{"weight", at::full({2}, 1.0)},
                             {"mean", at::full({1}, 2.0)},
                             {"count", at::full({}, 3, at::kLong)},
                             {"table", at::full({2}, 4.0)}};
  NamedTensors shadow;
  for (const auto& [name, tensor] : live) shadow.emplace_back(name, at::zeros_like(tensor));
  Ema ema(live, shadow, 0.75, {"table"});
  for (size_t i = 0; i < live.size(); ++i) EXPECT_TRUE(shadow[i].second.equal(live[i].second));

  for (const auto& [name, tensor] : live) tensor.add_(4);
  ema.update();
  EXPECT_TRUE(shadow[0].second.equal(at::full({2}, 2.0)));
  EXPECT_TRUE(shadow[1].second.equal(at::full({1}, 3.0)));
  EXPECT_EQ(shadow[2].second.item<int64_t>(), 7);
  EXPECT_TRUE(shadow[3].second.equal(at::full({2}, 4.0)));
}

std::vector<Tensor> gradients_of(const std::vector<NamedParameter>& parameters) {
  std::vector<Tensor> gradients;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  return gradients;
}

/// Some parameters with gradients, one without, and their averages.
struct Averaged {
  std::vector<NamedParameter> parameters;
  NamedTensors live, shadow;

  explicit Averaged(at::ScalarType type) {
    torch::manual_seed(8);
    for (const int64_t size : {5, 40000, 3}) {
      const std::string name = "p" + std::to_string(size);
      parameters.push_back(parameter(name, at::randn({size}, type)));
      live.emplace_back(name, parameters.back().second);
      shadow.emplace_back(name, at::zeros({size}, type));
      if (size != 3) parameters.back().second.mutable_grad() = at::randn({size}, type);
    }
  }
};

TEST(AdamW, AveragesAndClipsInTheSamePassAsApart) {
  const AdamWOptions options = {.weight_decay = 0.1};
  for (const auto type : {at::kFloat, at::kDouble}) {
    Averaged apart(type), together(type);
    AdamW first(apart.parameters, options), second(together.parameters, options);
    Ema first_ema(apart.live, apart.shadow, 0.99), second_ema(together.live, together.shadow, 0.99);
    second.average_into(second_ema);
    for (int step = 0; step < 3; ++step) {
      const Tensor norm = clip_and_check(apart.parameters, 1.5);
      first.step(0.01);
      first_ema.update();
      EXPECT_TRUE(norm.equal(
          clip_and_check(second, at::_foreach_norm(gradients_of(together.parameters)), 1.5, {})));
      second.step(0.01);
      second_ema.update();
      for (auto& [name, p] : together.parameters) {  // it was scaled there, and not here
        if (p.grad().defined()) p.mutable_grad() = at::randn_like(p);
      }
      for (size_t i = 0; i < apart.parameters.size(); ++i) {
        const Tensor& other = together.parameters[i].second;
        if (other.grad().defined())
          apart.parameters[i].second.mutable_grad() = other.grad().clone();
      }
    }
    for (size_t i = 0; i < apart.parameters.size(); ++i) {
      EXPECT_TRUE(apart.parameters[i].second.equal(together.parameters[i].second)) << i;
      EXPECT_TRUE(apart.shadow[i].second.equal(together.shadow[i].second)) << i;
    }
  }
}

TEST(Metrics, AveragesMicroBatchesAndKeepsTheOrder) {
  Metrics first, second, mean;
  first.add("b", at::full({}, 1.0));
  first.add("a", 3.0);
  second.add("b", at::full({}, 2.0));
  second.add("a", 5.0);
  mean.accumulate(first, 0.5);
  mean.accumulate(second, 0.5);
  Metrics more;
  more.add("count", at::full({}, 7, at::kLong));
  mean.append(more);
  const std::vector<std::pair<std::string, double>> expected = {
      {"b", 1.5}, {"a", 4.0}, {"count", 7.0}};
  EXPECT_EQ(mean.host_values(), expected);
}

}  // namespace
}  // namespace gear::train
