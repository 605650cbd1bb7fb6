#include "ops/readout_passes.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "gear/core/error.h"

// T tokens, K codes, P width of the product, D width of the table
// R rows of a block or tile, n columns of a tile, M temperatures

namespace gear::ops {
namespace {

// A block of whole rows for the statistics: 8 MiB of float32, read several times while it is in
// the last-level cache.
constexpr int64_t kBlockValues = int64_t{1} << 21;
// A tile between two matrix products: 4 MiB, and wide enough for them to run at full speed.
constexpr int64_t kTileRows = 512, kTileColumns = 2048;

const ReadoutKernels& kernels_for(const Tensor& tensor) {
#ifdef GEAR_WITH_CUDA
  if (tensor.is_cuda()) return kCudaReadout;
#endif
  TORCH_CHECK(tensor.is_cpu(), "read_out: no kernels for ", tensor.device());
  return kCpuReadout;
}

/// The temperatures that the statistics need, without duplicates.
class Temperatures {
 public:
  explicit Temperatures(const ReadoutOptions& options) {
    for (const double value : options.diagnostics) add(value);
    if (options.temperature > 0) add(options.temperature);
    if (options.entropy_temperature > 0) add(options.entropy_temperature);
  }
  const std::vector<double>& values() const { return values_; }
  int64_t count() const { return static_cast<int64_t>(values_.size()); }
  int64_t index(double value) const {
    return std::find(values_.begin(), values_.end(), value) - values_.begin();
  }

 private:
  void add(double value) {
    if (index(value) == count()) values_.push_back(value);
  }
  std::vector<double> values_;
};

RowStatistics empty_statistics(const Tensor& like, int64_t rows, const Temperatures& temperatures,
                               bool with_top_mass) {
  const int64_t count = temperatures.count();
  RowStatistics all{.ids = at::empty({rows}, like.options().dtype(at::kLong)),
                    .lowest = at::empty({rows}, like.options()),
                    .normaliser = at::empty({count, rows}, like.options()),
                    .entropy = at::empty({count, rows}, like.options()),
                    .top_mass = {}};
  if (with_top_mass) {
    all.top_mass =
        at::empty({count, rows, static_cast<int64_t>(kTopCounts.size())}, like.options());
  }
  return all;
}

void copy_rows(const RowStatistics& block, const RowStatistics& all, int64_t begin) {
  const int64_t rows = block.ids.size(0);
  all.ids.narrow(0, begin, rows).copy_(block.ids);
  all.lowest.narrow(0, begin, rows).copy_(block.lowest);
  all.normaliser.narrow(1, begin, rows).copy_(block.normaliser);
  all.entropy.narrow(1, begin, rows).copy_(block.entropy);
  if (all.top_mass.defined()) all.top_mass.narrow(1, begin, rows).copy_(block.top_mass);
}

AssignmentDiagnostics diagnostics_of(const RowStatistics& all, int64_t temperature) {
  const auto mean = [](const Tensor& values) {  // float64: sums of any length
    return values.mean(0, /*keepdim=*/false, at::kDouble);
  };
  const auto entropy = mean(all.entropy[temperature]);
  AssignmentDiagnostics result{.entropy = entropy.to(at::kFloat),
                               .effective_size = entropy.exp().to(at::kFloat)};
  const auto mass = mean(all.top_mass[temperature]);  // [4]
  for (size_t i = 0; i < kTopCounts.size(); ++i) {
    result.top_mass[i] = mass[static_cast<int64_t>(i)].to(at::kFloat);
  }
  return result;
}

struct Tile {
  int64_t row, rows, column, columns;

  Tensor rows_of(const Tensor& x) const { return x.narrow(0, row, rows); }
  Tensor columns_of(const Tensor& x) const { return x.narrow(0, column, columns); }
};

/// Calls `visit` for the tiles of one band of rows, from left to right.
template <class Visit>
void for_band(int64_t row, int64_t tokens, int64_t codes, const Visit& visit) {
  for (int64_t column = 0; column < codes; column += kTileColumns) {
    visit(Tile{row, std::min(kTileRows, tokens - row), column,
               std::min(kTileColumns, codes - column)});
  }
}

template <class Visit>
void for_tiles(int64_t tokens, int64_t codes, const Visit& visit) {
  for (int64_t row = 0; row < tokens; row += kTileRows) for_band(row, tokens, codes, visit);
}

Tensor cost_of(const Costs& costs, const Tile& tile) {  // [R, n]
  return at::mm(tile.rows_of(costs.left), tile.columns_of(costs.right).t());
}

RowSoftmax softmax_of(const Tensor& lowest, const Tensor& normaliser, double temperature,
                      const Tile& tile) {
  return {.lowest = tile.rows_of(lowest),
          .normaliser = tile.rows_of(normaliser),
          .temperature = temperature};
}

/// a b, in bfloat16 where that is wanted, with a result in the type of `a`.
Tensor product(const Tensor& a, const Tensor& b, bool bfloat16) {
  if (!bfloat16) return at::mm(a, b);
  return at::mm(a.to(at::kBFloat16), b.to(at::kBFloat16)).to(a.scalar_type());
}

/// The backward pass, band by band.
class Propagation {
 public:
  Propagation(const Costs& costs, const Tensor& table, const TokenStatistics& statistics,
              const ReadoutGradient& upstream, const ReadoutOptions& options, bool needs_table)
      : costs_(costs),
        table_(table),
        statistics_(statistics),
        upstream_(upstream),
        options_(options),
        needs_table_(needs_table),
        kernels_(kernels_for(costs.left)),
        tokens_(costs.left.size(0)),
        codes_(costs.right.size(0)) {
    result_.left = at::zeros_like(costs.left);
    result_.right = at::zeros_like(costs.right);
    if (needs_table) result_.table = at::zeros_like(table);
    if (!upstream.sample_entropy.defined() && !upstream.mean_distribution.defined()) return;
    to_sample_ = per_token(upstream.sample_entropy, {});
    to_mean_ = per_token(upstream.mean_distribution, {codes_});
  }

  FactorGradients run() {
    for (int64_t row = 0; row < tokens_; row += kTileRows) {
      const auto expected = expected_along_tokens(row);  // [R]
      for_band(row, tokens_, codes_, [&](const Tile& tile) { visit(tile, expected); });
    }
    return result_;
  }

 private:
  Tensor per_token(const Tensor& gradient, at::IntArrayRef sizes) const {
    if (!gradient.defined()) return at::zeros(sizes, costs_.left.options());
    return (gradient / static_cast<double>(tokens_)).contiguous();
  }

  bool through_entropies() const { return to_mean_.defined(); }

  RowSoftmax entropy_softmax(const Tile& tile) const {
    return softmax_of(statistics_.lowest, statistics_.entropy_normaliser,
                      options_.entropy_temperature, tile);
  }

  Tensor expected_along_tokens(int64_t row) const {
    if (!upstream_.mean_distribution.defined()) {
      return at::zeros({std::min(kTileRows, tokens_ - row)}, costs_.left.options());
    }
    const auto sum = at::zeros({std::min(kTileRows, tokens_ - row)}, costs_.left.options());
    for_band(row, tokens_, codes_, [&](const Tile& tile) {
      kernels_.add_expectation(cost_of(costs_, tile), entropy_softmax(tile),
                               tile.columns_of(to_mean_), sum);
    });
    return sum;
  }

  void visit(const Tile& tile, const Tensor& expected) {
    const auto cost = cost_of(costs_, tile);  // [R, n]
    Tensor gradient;                          // [R, n], of the cost
    if (upstream_.lookup.defined()) {
      gradient = through_lookup(tile, cost);
    } else {
      gradient = at::zeros_like(cost);
    }
    if (through_entropies()) {
      kernels_.add_entropy_gradient(cost, entropy_softmax(tile),
                                    {.to_sample = to_sample_,
                                     .to_mean = tile.columns_of(to_mean_),
                                     .expected = expected,
                                     .entropy = tile.rows_of(statistics_.entropy)},
                                    gradient);
    }
    tile.rows_of(result_.left).addmm_(gradient, tile.columns_of(costs_.right));
    tile.columns_of(result_.right).addmm_(gradient.t(), tile.rows_of(costs_.left));
  }

  Tensor through_lookup(const Tile& tile, const Tensor& cost) {
    const auto softmax =
        softmax_of(statistics_.lowest, statistics_.lookup_normaliser, options_.temperature, tile);
    const auto arriving = tile.rows_of(upstream_.lookup);  // [R, D]
    auto gradient =
        product(arriving, tile.columns_of(table_).t(), options_.bfloat16_products);  // [R, n]
    if (needs_table_) {
      const auto soft = at::empty_like(cost);  // [R, n]
      kernels_.assignment(cost, softmax, soft);
      tile.columns_of(result_.table).add_(product(soft.t(), arriving, options_.bfloat16_products));
    }
    kernels_.assignment_gradient(cost, softmax, tile.rows_of(upstream_.expected), gradient);
    return gradient;
  }

  const Costs& costs_;
  const Tensor& table_;
  const TokenStatistics& statistics_;
  const ReadoutGradient& upstream_;
  const ReadoutOptions& options_;
  const bool needs_table_;
  const ReadoutKernels& kernels_;
  const int64_t tokens_, codes_;
  Tensor to_sample_, to_mean_;  // scalar and [K]; defined when an entropy is differentiated
  FactorGradients result_;
};

}  // namespace

TokenStatistics measure(const Costs& costs, const ReadoutOptions& options) {
  const int64_t tokens = costs.left.size(0), codes = costs.right.size(0);
  const ReadoutKernels& kernels = kernels_for(costs.left);
  const Temperatures temperatures(options);
  const int64_t entropies = temperatures.index(options.entropy_temperature);
  const bool with_entropies = options.entropy_temperature > 0;
  const bool with_diagnostics = !options.diagnostics.empty();

  const auto all = empty_statistics(costs.left, tokens, temperatures, with_diagnostics);
  TokenStatistics result{.ids = all.ids, .lowest = all.lowest};
  if (with_entropies) result.mean_distribution = at::zeros({codes}, costs.left.options());
  const auto right = costs.right.t();  // [P, K]
  const int64_t block_rows = std::max<int64_t>(1, kBlockValues / codes);
  for (int64_t row = 0; row < tokens; row += block_rows) {
    const int64_t rows = std::min(block_rows, tokens - row);
    const auto cost = at::mm(costs.left.narrow(0, row, rows), right);  // [R, K]
    const auto block = empty_statistics(costs.left, rows, temperatures, with_diagnostics);
    kernels.row_statistics(cost, temperatures.values(), block);
    copy_rows(block, all, row);
    if (!with_entropies) continue;
    kernels.add_distribution(cost,
                             {.lowest = block.lowest,
                              .normaliser = block.normaliser[entropies],
                              .temperature = options.entropy_temperature},
                             result.mean_distribution);
  }
  if (with_entropies) {
    result.mean_distribution.div_(static_cast<double>(tokens));
    result.entropy = all.entropy[entropies];
    result.entropy_normaliser = all.normaliser[entropies];
  }
  if (options.temperature > 0) {
    result.lookup_normaliser = all.normaliser[temperatures.index(options.temperature)];
  }
  for (const double temperature : options.diagnostics) {
    result.diagnostics.push_back(diagnostics_of(all, temperatures.index(temperature)));
  }
  return result;
}

Tensor soft_lookup(const Costs& costs, const Tensor& table, const TokenStatistics& statistics,
                   const ReadoutOptions& options) {
  const int64_t tokens = costs.left.size(0);
  const ReadoutKernels& kernels = kernels_for(costs.left);
  const auto result = at::zeros({tokens, table.size(1)}, costs.left.options());  // [T, D]
  for_tiles(tokens, costs.right.size(0), [&](const Tile& tile) {
    const auto cost = cost_of(costs, tile);  // [R, n], then s
    kernels.assignment(
        cost,
        softmax_of(statistics.lowest, statistics.lookup_normaliser, options.temperature, tile),
        cost);
    if (options.bfloat16_products) {
      tile.rows_of(result).add_(product(cost, tile.columns_of(table), /*bfloat16=*/true));
    } else {
      tile.rows_of(result).addmm_(cost, tile.columns_of(table));
    }
  });
  return result;
}

FactorGradients propagate(const Costs& costs, const Tensor& table,
                          const TokenStatistics& statistics, const ReadoutGradient& upstream,
                          const ReadoutOptions& options, bool needs_table) {
  return Propagation(costs, table, statistics, upstream, options, needs_table).run();
}

}  // namespace gear::ops
