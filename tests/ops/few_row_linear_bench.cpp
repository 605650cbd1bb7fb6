// Google Benchmark of the products of a decoding step beside LibTorch's:
//   gear_ops_bench --benchmark_filter=FewRow

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <benchmark/benchmark.h>

#include "gear/ops/few_row_linear.h"

// R rows, K inputs, N outputs

namespace gear::ops {
namespace {

// The output layer of LlamaGen-B: more than fits a cache.
constexpr int64_t kInputs = 768, kOutputs = 16384;

void report(benchmark::State& state, double bytes, int64_t rows) {
  state.SetBytesProcessed(static_cast<int64_t>(bytes) * state.iterations());
  state.counters["FLOP/s"] =
      benchmark::Counter(2.0 * static_cast<double>(kInputs * kOutputs * rows),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void few_row(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const auto weight =
      store_weight(at::randn({kOutputs, kInputs}), static_cast<WeightFormat>(state.range(1)));
  const auto x = at::randn({rows, kInputs});
  auto out = at::empty({rows, kOutputs});
  for (auto _ : state) few_row_linear(x, weight, out);
  report(state, weight.bytes(), rows);
}
BENCHMARK(few_row)
    ->Name("FewRow")
    ->ArgNames({"rows", "format"})
    ->ArgsProduct({{1, 2, 8, 16, 64}, {0, 1, 2}})
    ->UseRealTime();

void library(benchmark::State& state) {
  const at::NoGradGuard no_grad;
  const int64_t rows = state.range(0);
  const auto weight = at::randn({kOutputs, kInputs}), x = at::randn({rows, kInputs});
  auto out = at::empty({rows, kOutputs});
  for (auto _ : state) at::linear_out(out, x, weight);
  report(state, static_cast<double>(weight.nbytes()), rows);
}
BENCHMARK(library)
    ->Name("FewRowByLibTorch")
    ->ArgNames({"rows"})
    ->ArgsProduct({{1, 2, 8, 16, 64}})
    ->UseRealTime();

}  // namespace
}  // namespace gear::ops
