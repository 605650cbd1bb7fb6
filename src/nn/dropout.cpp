#include "gear/nn/dropout.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace gear::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Draws {
  std::vector<uint64_t> seeds;
  uint32_t next = 0;
};
std::optional<Draws> draws;  // of the process, since backward passes may run in other threads

constexpr uint32_t kGolden = 0x9E3779B1U;
constexpr uint32_t kFirst = 0x85EBCA6BU;  // of the finaliser of MurmurHash3
constexpr uint32_t kSecond = 0xC2B2AE35U;

inline uint32_t mixed(uint32_t h) {
  h = (h ^ (h >> 16)) * kFirst;
  h = (h ^ (h >> 13)) * kSecond;
  return h ^ (h >> 16);
}

/// A number for element `i` of the row with these keys: every bit depends on all of them.
inline uint32_t draw(uint32_t key, uint32_t other_key, uint32_t i) {
  return mixed(mixed(i * kGolden + key) ^ other_key);
}

/// A value is dropped when its draw is below this.
uint32_t threshold_of(double probability) {
  return static_cast<uint32_t>(probability * 4294967296.0);
}

/// Two keys for each row, int64 [B, 2] with 32 bits in each.
Tensor take_keys() {
  const uint32_t number = mixed(draws->next++ * kGolden + 1);
  std::vector<int64_t> keys;
  for (const uint64_t seed : draws->seeds) {
    keys.push_back(mixed(static_cast<uint32_t>(seed) ^ number));
    keys.push_back(mixed(static_cast<uint32_t>(seed >> 32) + number));
  }
  return at::tensor(keys, at::kLong).view({-1, 2});
}

void drop_on_cpu(const Tensor& out, const Tensor& x, const Tensor& keys, double probability) {
  const int64_t row = x.numel() / x.size(0);
  const uint32_t threshold = threshold_of(probability);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "dropout", [&] {
    const auto* from = x.const_data_ptr<scalar_t>();
    auto* to = out.mutable_data_ptr<scalar_t>();
    const auto* key = keys.const_data_ptr<int64_t>();
    const auto scale = static_cast<float>(1.0 / (1.0 - probability));
    at::parallel_for(0, x.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
      for (int64_t place = begin; place < end;) {
        const int64_t b = place / row;
        const int64_t stop = std::min(end, (b + 1) * row);
        const auto first = static_cast<uint32_t>(key[2 * b]);
        const auto second = static_cast<uint32_t>(key[2 * b + 1]);
        for (; place < stop; ++place) {
          const bool kept =
              draw(first, second, static_cast<uint32_t>(place - b * row)) >= threshold;
          to[place] = static_cast<scalar_t>(kept ? scale * static_cast<float>(from[place]) : 0.0F);
        }
      }
    });
  });
}

/// mixed() of 32-bit numbers that stand in int64.
Tensor mixed(Tensor h) {
  constexpr int64_t kMask = 0xFFFFFFFF;
  h = (h ^ h.__rshift__(16)).mul_(static_cast<int64_t>(kFirst)).__iand__(kMask);
  h = (h ^ h.__rshift__(13)).mul_(static_cast<int64_t>(kSecond)).__iand__(kMask);
  return h ^ h.__rshift__(16);
}

/// The same with tensor operations, for every device.
void drop_anywhere(const Tensor& out, const Tensor& x, const Tensor& keys, double probability) {
  constexpr int64_t kMask = 0xFFFFFFFF;
  const int64_t row = x.numel() / x.size(0);
  const Tensor on_device = keys.to(x.device());
  const Tensor place = at::arange(row, on_device.options()).mul_(static_cast<int64_t>(kGolden));
  const Tensor first = (place.unsqueeze(0) + on_device.narrow(1, 0, 1)).__iand__(kMask);
  const Tensor drawn = mixed(mixed(first) ^ on_device.narrow(1, 1, 1));  // [B, row]
  const Tensor kept = drawn.ge(static_cast<int64_t>(threshold_of(probability)));
  out.copy_(x * (kept.view(x.sizes()).to(x.scalar_type()) * (1.0 / (1.0 - probability))));
}

Tensor dropped(const Tensor& x, const Tensor& keys, double probability) {
  const Tensor from = x.contiguous();
  const Tensor out = at::empty_like(from);
  if (from.is_cpu()) {
    drop_on_cpu(out, from, keys, probability);
  } else {
    drop_anywhere(out, from, keys, probability);
  }
  return out;
}

/// The gradient is dropped like the values: drawn again rather than remembered.
struct SampleDropout : torch::autograd::Function<SampleDropout> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& keys,
                        double probability) {
    context->save_for_backward({keys});
    context->saved_data["probability"] = probability;
    return dropped(x, keys, probability);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Tensor keys = context->get_saved_variables()[0];
    const double probability = context->saved_data.at("probability").toDouble();
    return {dropped(gradients[0], keys, probability), Tensor(), Tensor()};
  }
};

bool has_draws_for(const Tensor& x) {
  if (!draws) return false;
  TORCH_CHECK(x.size(0) == static_cast<int64_t>(draws->seeds.size()), "dropout: ", x.size(0),
              " rows, but draws for ", draws->seeds.size(), " samples");
  return true;
}

}  // namespace

SampleDrawsScope::SampleDrawsScope(std::vector<uint64_t> seeds) {
  TORCH_CHECK(!draws, "SampleDrawsScope: there is one already");
  draws = Draws{.seeds = std::move(seeds)};
}

SampleDrawsScope::~SampleDrawsScope() { draws.reset(); }

uint32_t next_draw() { return draws ? draws->next : 0; }

void set_next_draw(uint32_t number) {
  if (draws) draws->next = number;
}

Tensor dropout(const Tensor& x, double probability, bool training) {
  if (!training || probability == 0.0) return x;
  if (!has_draws_for(x)) return at::dropout(x, probability, training);
  return SampleDropout::apply(x, take_keys(), probability);
}

Tensor drop_path(const Tensor& branch, double probability, bool training) {
  if (!training || probability == 0.0) return branch;
  const double keep = 1.0 - probability;
  std::vector<int64_t> rows(static_cast<size_t>(branch.dim()), 1);
  rows[0] = branch.size(0);
  const Tensor ones = at::ones(rows, branch.options().requires_grad(false));
  if (has_draws_for(branch)) return branch * dropped(ones, take_keys(), probability);
  return branch * ones.bernoulli(keep).div_(keep);
}

}  // namespace gear::nn
