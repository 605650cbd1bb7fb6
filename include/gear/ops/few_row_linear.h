#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "gear/core/tensor.h"

// R rows, K inputs, N outputs
// Linear layers of a decoding step. With few rows their time is that of reading the weights once,
// so these are kept in fewer bytes and in the order in which they are read. No gradients.

namespace gear::ops {

/// In what a weight is kept. All products and sums are float32.
///   kFloat32   as it is
///   kBfloat16  rounded to the nearest: 8 significant bits, half the bytes
///   kInt8      the largest weight of each output is 127 steps, a quarter of the bytes
enum class WeightFormat { kFloat32, kBfloat16, kInt8 };

/// "fp32", "bf16", "int8", in the order of the enum.
inline constexpr std::array<const char*, 3> kWeightFormatNames = {"fp32", "bf16", "int8"};

/// A weight [N, K] in the layout of its device; made by store_weight.
struct StoredWeight {
  WeightFormat format = WeightFormat::kFloat32;
  int64_t outputs = 0;
  int64_t inputs = 0;
  Tensor values;  ///< opaque
  Tensor scales;  ///< kInt8: [N] float32, the size of a step

  /// Bytes that one product reads.
  double bytes() const;
};

/// weight [N, K] float32. Throws Error where kInt8 meets a value that is not finite.
StoredWeight store_weight(const Tensor& weight, WeightFormat format);

/// Moves weights on a CPU into one piece of memory, one behind the other in this order, on large
/// pages where the system has them: a sixth faster to read. Elsewhere it does nothing.
void lay_out(const std::vector<StoredWeight*>& weights);

/// The weight that a format stands for: float32 [N, K], rounded as store_weight does.
Tensor rounded_weight(const Tensor& weight, WeightFormat format);

/// What becomes of a product.
enum class Into { kReplace, kAdd };

/// out [R, N] = x [R, K] times the transposed weight, or that added to it. x and out are contiguous
/// float32. Each row is summed in the same order, whatever the other rows and the number of
/// threads. Made for up to a few dozen rows; more are right too.
void few_row_linear(const Tensor& x, const StoredWeight& weight, const Tensor& out,
                    Into into = Into::kReplace);

/// out [R, N] = silu(gate x) * (up x) in one pass; both weights [N, K] of one format.
void few_row_swiglu(const Tensor& x, const StoredWeight& gate, const StoredWeight& up,
                    const Tensor& out);

/// out [R, K] = weight * x / sqrt(mean(x^2) + eps) over each row; all contiguous float32.
/// Source: arXiv:1910.07467.
void few_row_rms_norm(const Tensor& x, const Tensor& weight, double eps, const Tensor& out);

}  // namespace gear::ops
