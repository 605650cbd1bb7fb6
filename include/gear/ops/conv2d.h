#pragma once

#include <cstdint>

#include "gear/core/tensor.h"

// B images, C channels in, K channels out, k taps per side

namespace gear::ops {

/// How conv2d multiplies.
///   kDirect    the library's convolution
///   kWinograd  Winograd's method (arXiv:1509.09308) with six points per side, where
///              winograd_fits(): a quarter of the multiplications. Results and gradients are off
///              by about 1e-6 of their scale (root mean square), three times as much as those of
///              the direct method in float32.
enum class ConvMethod { kDirect, kWinograd };

/// Convolution of stride 1.
///   x        [B, C, H, W]
///   weight   [K, C, k, k]
///   bias     [K], or undefined
///   padding  pixels of zeros on each side, from 0 to k - 1
/// Returns [B, K, H + 2 padding - k + 1, W + 2 padding - k + 1] in the memory format of x.
/// Differentiable in x, weight and bias. Under autocast, and where Winograd's method does not fit,
/// this is at::conv2d. Winograd's results do not depend on the number of threads.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding,
              ConvMethod method);

/// Whether this processor has vectors of eight floats, which Winograd's method is written for.
bool has_winograd();

/// Whether the method can be used and pays: three or four taps per side, float32 on the CPU,
/// channels-last, widths that are multiples of 32, and enough pixels in a picture to be worth
/// transforming the weights. It does not depend on the number of pictures.
bool winograd_fits(const Tensor& x, const Tensor& weight);

}  // namespace gear::ops
