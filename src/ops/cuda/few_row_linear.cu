#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_bf16.h>

#include "ops/few_row_linear_kernels.h"

// R rows, K inputs, N outputs
//
// A warp owns one output. It reads that row of the weight once, 16 bytes a lane and neighbouring
// lanes neighbouring bytes, and keeps the sums of up to eight rows of x, which come from the L1
// cache, in registers. Rows of the weight are padded with zeros to whole chunks of 16 bytes. From
// kLibraryRows rows on arithmetic decides, and the products are cuBLAS's, on tensor cores.

namespace gear::ops {
namespace {

constexpr int kWarp = 32;
constexpr int kWarps = 4;  // of a block
constexpr int kChunkBytes = 16;
constexpr int64_t kLibraryRows = 32;

/// The elements of one chunk as floats.
__device__ void unpack(const float* at, float (&values)[4]) {
  const float4 chunk = *reinterpret_cast<const float4*>(at);
  values[0] = chunk.x;
  values[1] = chunk.y;
  values[2] = chunk.z;
  values[3] = chunk.w;
}
__device__ void unpack(const __nv_bfloat16* at, float (&values)[8]) {
  const uint4 chunk = *reinterpret_cast<const uint4*>(at);
  const uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = __uint_as_float(words[i] << 16);
    values[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000U);
  }
}
__device__ void unpack(const int8_t* at, float (&values)[16]) {
  const uint4 chunk = *reinterpret_cast<const uint4*>(at);
  const uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    values[i] = static_cast<float>(static_cast<int8_t>(words[i / 4] >> (8 * (i % 4))));
  }
}

struct Rows {
  const float* x;  // [R, K]
  int64_t count, inputs;
};

template <class T>
struct Weight {
  const T* values;      // [N, stride]
  const float* scales;  // [N] or null
  int64_t outputs, stride;
};

/// sums[r] = <x[first + r], weight[output]>, the same in all lanes.
template <class T, int kRows>
__device__ void products(const Rows& rows, int64_t first, const Weight<T>& weight, int64_t output,
                         float (&sums)[kRows]) {
  constexpr int kChunk = kChunkBytes / sizeof(T);
#pragma unroll
  for (int r = 0; r < kRows; ++r) sums[r] = 0.0F;
  const T* values = weight.values + output * weight.stride;
  for (int64_t k = static_cast<int64_t>(threadIdx.x) * kChunk; k < rows.inputs;
       k += kWarp * kChunk) {
    float w[kChunk];
    unpack(values + k, w);
    const int64_t valid = rows.inputs - k < kChunk ? rows.inputs - k : kChunk;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (first + r >= rows.count) continue;
      const float* x = rows.x + (first + r) * rows.inputs + k;
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        if (i < valid) sums[r] += w[i] * x[i];
      }
    }
  }
  const float scale = weight.scales == nullptr ? 1.0F : weight.scales[output];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    for (int lane = kWarp / 2; lane > 0; lane /= 2) {
      sums[r] += __shfl_xor_sync(0xffffffffU, sums[r], lane);
    }
    sums[r] *= scale;
  }
}

__device__ int64_t own_output() { return static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.y; }

template <class T, int kRows>
__global__ void linear_kernel(Rows rows, Weight<T> weight, bool add, float* out) {
  const int64_t output = own_output(), first = static_cast<int64_t>(blockIdx.y) * kRows;
  if (output >= weight.outputs) return;
  float sums[kRows];
  products<T, kRows>(rows, first, weight, output, sums);
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (first + r >= rows.count) continue;
    float& to = out[(first + r) * weight.outputs + output];
    to = add ? to + sums[r] : sums[r];
  }
}

template <class T, int kRows>
__global__ void swiglu_kernel(Rows rows, Weight<T> gate, Weight<T> up, float* out) {
  const int64_t output = own_output(), first = static_cast<int64_t>(blockIdx.y) * kRows;
  if (output >= gate.outputs) return;
  float opened[kRows], risen[kRows];
  products<T, kRows>(rows, first, gate, output, opened);
  products<T, kRows>(rows, first, up, output, risen);
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (first + r >= rows.count) continue;
    out[(first + r) * gate.outputs + output] = opened[r] / (1.0F + expf(-opened[r])) * risen[r];
  }
}

template <class T>
Weight<T> weight_of(const StoredWeight& weight) {
  return {static_cast<const T*>(weight.values.const_data_ptr()),
          weight.scales.defined() ? weight.scales.const_data_ptr<float>() : nullptr, weight.outputs,
          weight.values.size(1)};
}

/// Calls body(type, rows at once) with a value of the element type and one of
/// std::integral_constant.
template <class Body>
void dispatch(WeightFormat format, int64_t rows, const Body& body) {
  const auto with_rows = [&](auto element) {
    if (rows == 1) return body(element, std::integral_constant<int, 1>());
    if (rows == 2) return body(element, std::integral_constant<int, 2>());
    if (rows <= 4) return body(element, std::integral_constant<int, 4>());
    return body(element, std::integral_constant<int, 8>());
  };
  switch (format) {
    case WeightFormat::kFloat32:
      return with_rows(float());
    case WeightFormat::kBfloat16:
      return with_rows(__nv_bfloat16());
    case WeightFormat::kInt8:
      return with_rows(int8_t());
  }
}

dim3 blocks_for(int64_t outputs, int64_t rows, int at_once) {
  return {static_cast<unsigned int>((outputs + kWarps - 1) / kWarps),
          static_cast<unsigned int>((rows + at_once - 1) / at_once)};
}

Rows rows_of(const Tensor& x) { return {x.const_data_ptr<float>(), x.size(0), x.size(1)}; }

/// x times the transposed weight by cuBLAS, float32 [R, N].
Tensor library_product(const Tensor& x, const StoredWeight& weight) {
  const auto dense = weight.values.narrow(1, 0, weight.inputs);
  if (weight.format == WeightFormat::kFloat32) return at::mm(x, dense.t());
  const auto product =
      at::mm(x.to(at::kBFloat16), dense.to(at::kBFloat16).t(), /*out_dtype=*/at::kFloat);
  return weight.scales.defined() ? product * weight.scales : product;
}

Tensor arranged(const Tensor& values) {
  const int64_t chunk = kChunkBytes / static_cast<int64_t>(values.element_size());
  const int64_t missing = (chunk - values.size(1) % chunk) % chunk;
  return at::constant_pad_nd(values, {0, missing}).contiguous();
}

void linear(const Tensor& x, const StoredWeight& weight, const Tensor& out, Into into) {
  const bool add = into == Into::kAdd;
  if (x.size(0) >= kLibraryRows) {
    const auto product = library_product(x, weight);
    add ? out.add_(product) : out.copy_(product);
    return;
  }
  dispatch(weight.format, x.size(0), [&](auto element, auto at_once) {
    using T = decltype(element);
    constexpr int kRows = decltype(at_once)::value;
    linear_kernel<T, kRows><<<blocks_for(weight.outputs, x.size(0), kRows), dim3(kWarp, kWarps), 0,
                              c10::cuda::getCurrentCUDAStream()>>>(
        rows_of(x), weight_of<T>(weight), add, out.mutable_data_ptr<float>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  });
}

void swiglu(const Tensor& x, const StoredWeight& gate, const StoredWeight& up, const Tensor& out) {
  if (x.size(0) >= kLibraryRows) {
    out.copy_(at::silu(library_product(x, gate)).mul_(library_product(x, up)));
    return;
  }
  dispatch(gate.format, x.size(0), [&](auto element, auto at_once) {
    using T = decltype(element);
    constexpr int kRows = decltype(at_once)::value;
    swiglu_kernel<T, kRows><<<blocks_for(gate.outputs, x.size(0), kRows), dim3(kWarp, kWarps), 0,
                              c10::cuda::getCurrentCUDAStream()>>>(
        rows_of(x), weight_of<T>(gate), weight_of<T>(up), out.mutable_data_ptr<float>());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  });
}

void rms_norm(const Tensor& x, const Tensor& weight, double eps, const Tensor& out) {
  out.copy_(at::rms_norm(x, weight.sizes(), weight, eps));
}

}  // namespace

const FewRowKernels kCudaFewRow = {arranged, [](const std::vector<StoredWeight*>& /*weights*/) {},
                                   linear, swiglu, rms_norm};

}  // namespace gear::ops
