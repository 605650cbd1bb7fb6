#pragma once

#include "gear/core/tensor.h"

// B images, C channels in, K channels out, k taps per side: 3 or 4
// Convolutions of stride 1 by Winograd's method on the CPU. Maps are float32 and channels-last,
// widths multiples of kWinogradChannels. For other devices the libraries have it built in (cuDNN).

namespace gear::ops::cpu {

inline constexpr int64_t kWinogradChannels = 32;

bool winograd_supported();

/// x [B, C, H, W], weight [K, C, k, k] contiguous, bias [K] contiguous or undefined ->
/// [B, K, H', W'] with H' = H + 2 padding - k + 1.
Tensor winograd_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t padding);

/// Of the input: grad [B, K, H', W'], weight [K, C, k, k] contiguous -> [B, C, H, W].
Tensor winograd_input_gradient(const Tensor& grad, const Tensor& weight, int64_t padding);

struct WinogradGradients {
  Tensor weight;  // [K, C, taps, taps]
  Tensor bias;    // [K]
};

/// Of weight and bias: x [B, C, H, W], grad [B, K, H', W'].
WinogradGradients winograd_parameter_gradients(const Tensor& x, const Tensor& grad, int64_t taps,
                                               int64_t padding);

}  // namespace gear::ops::cpu
