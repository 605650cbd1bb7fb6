#include "gear/models/tokenizers/fsq_quantizer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>

#include <cmath>

#include "gear/nn/autocast.h"
#include "models/tokenizers/token_rows.h"

namespace gear::models {
namespace {

/// Ids per step of each digit: 1, L_0, L_0 L_1, ...
std::vector<int64_t> places_of(const std::vector<int64_t>& levels) {
  std::vector<int64_t> places;
  int64_t place = 1;
  for (const int64_t values : levels) {
    places.push_back(place);
    place *= values;
  }
  return places;
}

}  // namespace

Quantized FsqQuantizer::forward(const Tensor& z) {
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  const auto range = bounded(token_rows(z, config_.codebook_dim));  // [T, D]
  const auto digits = range.detach().round();                       // [T, D]
  const auto half = halves(range.options());
  const auto rows = range / half;  // in [-1, 1], as codes are
  const auto all_ids = at::arange(config_.codebook_size, range.options().dtype(at::kLong));
  const auto costs = squared_distances(rows, codes_of(all_ids, range.scalar_type()));
  QuantizerLosses losses;
  if (is_training()) losses = entropy_losses({read_codes(costs, config_, true)}, config_, world_);
  return {.z_q = as_latent(straight_through(rows, digits / half), z),
          .ids = ids_of(digits),
          .costs = costs,
          .losses = losses};
}

Tensor FsqQuantizer::nearest_ids(const Tensor& z) {
  const at::NoGradGuard no_grad;
  const nn::AutocastScope full_precision(z.device().type(), /*enabled=*/false);
  return ids_of(bounded(token_rows(z, config_.codebook_dim)).round());
}

Tensor FsqQuantizer::lookup(const Tensor& ids) { return codes_of(ids, at::kFloat); }

Tensor FsqQuantizer::bounded(const Tensor& rows) const {
  constexpr double kMargin = 1e-3;  // keeps the ends from rounding outwards
  std::vector<double> widths, shifts, offsets;
  for (const int64_t values : config_.levels) {
    const double width = static_cast<double>(values - 1) * (1.0 - kMargin) / 2.0;
    const double offset = values % 2 == 0 ? 0.5 : 0.0;  // an even number has no middle
    widths.push_back(width);
    offsets.push_back(offset);
    shifts.push_back(std::tan(offset / width));
  }
  const auto as_row = [&](const std::vector<double>& x) { return at::tensor(x, rows.options()); };
  return (rows + as_row(shifts)).tanh() * as_row(widths) - as_row(offsets);
}

Tensor FsqQuantizer::ids_of(const Tensor& digits) const {
  const auto whole = digits.to(at::kLong);
  return ((whole + halves(whole.options())) *
          at::tensor(places_of(config_.levels), whole.options()))
      .sum(1);
}

Tensor FsqQuantizer::codes_of(const Tensor& ids, at::ScalarType dtype) const {
  const auto places = at::tensor(places_of(config_.levels), ids.options());
  const auto digits =
      ids.unsqueeze(1)
          .div(places, "floor")
          .remainder(at::tensor(config_.levels, ids.options()));  // [T, D], 0 is the first
  const auto half = halves(ids.options());
  return (digits - half).to(dtype) / half.to(dtype);
}

Tensor FsqQuantizer::halves(const at::TensorOptions& options) const {
  std::vector<int64_t> list;
  for (const int64_t values : config_.levels) list.push_back(values / 2);
  return at::tensor(list, options);
}

}  // namespace gear::models
