#include "cli/tensor_values.h"

#include <ATen/ops/isnan.h>
#include <ATen/ops/view_as_real.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace gear::cli {
namespace {

constexpr int64_t kPiece = int64_t{1} << 20;  // values looked at together

/// All values in their order, complex ones as pairs of real ones.
at::Tensor flat(const at::Tensor& values) {
  const auto real = values.is_complex() ? at::view_as_real(values.resolve_conj()) : values;
  return real.contiguous().view({-1});
}

/// Calls `use` with the bounds of each piece of `count` values.
template <class Use>
void for_each_piece(int64_t count, Use&& use) {
  for (int64_t begin = 0; begin < count; begin += kPiece) {
    use(begin, std::min(kPiece, count - begin));
  }
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

/// The difference of two pieces whose bytes differ; NaN where both are NaN counts as equal.
Difference difference_of(const at::Tensor& first, const at::Tensor& second) {
  const auto a = first.to(at::kDouble);
  const auto b = second.to(at::kDouble);
  const auto same = a.eq(b).logical_or(a.isnan().logical_and(b.isnan()));
  const auto difference = (a - b).masked_fill(same, 0.0).abs();
  return {.same_bits = false,
          .largest = difference.max().item<double>(),
          .squared = difference.square().sum().item<double>(),
          .squared_norm = a.square().nansum().item<double>()};
}

/// Of numbers laid out as IEEE 754 says: NaN and infinity have the largest exponent, NaN something
/// behind it.
template <class Bits>
NonFinite count_by_bits(const at::Tensor& piece, Bits largest_exponent) {
  constexpr Bits kWithoutSign = std::numeric_limits<Bits>::max() >> 1;
  const auto* bits = static_cast<const Bits*>(piece.const_data_ptr());
  const int64_t count = piece.numel();
  int64_t special = 0, nan = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Bits magnitude = bits[i] & kWithoutSign;
    special += magnitude >= largest_exponent ? 1 : 0;
    nan += magnitude > largest_exponent ? 1 : 0;
  }
  return {.nan = nan, .inf = special - nan};
}

NonFinite count_in_piece(const at::Tensor& piece) {
  switch (piece.scalar_type()) {
    case at::kDouble:
      return count_by_bits<uint64_t>(piece, 0x7ff0'0000'0000'0000);
    case at::kFloat:
      return count_by_bits<uint32_t>(piece, 0x7f80'0000);
    case at::kHalf:
      return count_by_bits<uint16_t>(piece, 0x7c00);
    case at::kBFloat16:
      return count_by_bits<uint16_t>(piece, 0x7f80);
    default:
      TORCH_CHECK(false, "count_in_piece: unhandled type ", piece.scalar_type());
  }
}

double larger(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : std::max(a, b);
}

}  // namespace

NonFinite& NonFinite::operator+=(const NonFinite& other) {
  nan += other.nan;
  inf += other.inf;
  return *this;
}

NonFinite count_nonfinite(const at::Tensor& values) {
  NonFinite found;
  if (values.numel() == 0 || !(values.is_floating_point() || values.is_complex())) return found;
  const auto all = flat(values);
  for_each_piece(all.numel(), [&](int64_t begin, int64_t count) {
    auto piece = all.narrow(0, begin, count);
    if (piece.element_size() == 1) piece = piece.to(at::kFloat);  // of several layouts
    found += count_in_piece(piece);
  });
  return found;
}

double Difference::relative() const {
  return squared == 0.0 ? 0.0 : std::sqrt(squared / squared_norm);
}

Difference& Difference::operator+=(const Difference& other) {
  same_bits = same_bits && other.same_bits;
  largest = larger(largest, other.largest);
  squared += other.squared;
  squared_norm += other.squared_norm;
  return *this;
}

Difference compare_values(const at::Tensor& first, const at::Tensor& second) {
  if (first.is_complex() != second.is_complex()) {
    return compare_values(first.to(at::kComplexDouble), second.to(at::kComplexDouble));
  }
  Difference sum;
  const auto a = flat(first);
  const auto b = flat(second);
  for_each_piece(a.numel(), [&](int64_t begin, int64_t count) {
    const auto piece_a = a.narrow(0, begin, count);
    const auto piece_b = b.narrow(0, begin, count);
    if (same_bytes(piece_a, piece_b)) {
      sum.squared_norm += piece_a.to(at::kDouble).square().nansum().item<double>();
    } else {
      sum += difference_of(piece_a, piece_b);
    }
  });
  sum.same_bits = sum.same_bits && first.scalar_type() == second.scalar_type();
  return sum;
}

}  // namespace gear::cli
