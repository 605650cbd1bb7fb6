#include "gear/ops/cached_attention.h"

#include "ops/cached_attention_kernels.h"

// R rows, H heads, H_kv key/value heads, d head width, S capacity

namespace gear::ops {
namespace {

const CachedAttentionKernels& kernels_for(const Tensor& tensor) {
#ifdef GEAR_WITH_CUDA
  if (tensor.is_cuda()) return kCudaCachedAttention;
#endif
  TORCH_CHECK(tensor.is_cpu(), "cached_attention: no kernels for ", tensor.device());
  return kCpuCachedAttention;
}

bool is_float_matrix(const Tensor& tensor) {
  return tensor.dim() == 2 && tensor.is_contiguous() && tensor.scalar_type() == at::kFloat;
}

void check_cache(const CachedKeys& cache, const HeadSizes& sizes) {
  const auto type = cache.keys.scalar_type();
  TORCH_CHECK((type == at::kFloat || type == at::kBFloat16) && cache.values.scalar_type() == type &&
                  cache.keys.is_contiguous() && cache.values.is_contiguous() &&
                  cache.values.sizes() == cache.keys.sizes(),
              "cached_attention: keys and values must be alike, contiguous float32 or bfloat16, ",
              "got ", type, " ", cache.keys.sizes(), " and ", cache.values.scalar_type(), " ",
              cache.values.sizes());
  TORCH_CHECK(cache.rotary.dim() == 3 && cache.rotary.size(1) * 2 == sizes.width &&
                  cache.rotary.size(2) == 2 && cache.rotary.is_contiguous() &&
                  cache.rotary.scalar_type() == at::kFloat,
              "cached_attention: rotary must be float32 [n, ", sizes.width / 2, ", 2], got ",
              cache.rotary.sizes());
  if (!cache.visible.defined()) return;
  TORCH_CHECK(cache.visible.dim() == 2 && cache.visible.size(0) == sizes.rows &&
                  cache.visible.size(1) >= sizes.capacity && cache.visible.stride(1) == 1 &&
                  cache.visible.scalar_type() == at::kBool,
              "cached_attention: visible must be bool [", sizes.rows, ", ", sizes.capacity,
              "], got ", cache.visible.sizes());
}

}  // namespace

void cached_attention(const Tensor& qkv, const Tensor& position, const CachedKeys& cache,
                      const Tensor& out) {
  TORCH_CHECK(cache.keys.dim() == 4, "cached_attention: keys must be [R, H_kv, S, d], got ",
              cache.keys.sizes());
  const int64_t width = cache.keys.size(3);
  const HeadSizes sizes = {.rows = cache.keys.size(0),
                           .heads = out.size(-1) / width,
                           .kv_heads = cache.keys.size(1),
                           .width = width,
                           .capacity = cache.keys.size(2)};
  TORCH_CHECK(is_float_matrix(qkv) && is_float_matrix(out) && qkv.size(0) == sizes.rows &&
                  out.size(0) == sizes.rows && out.size(1) == sizes.heads * width &&
                  qkv.size(1) == sizes.projected() && sizes.heads % sizes.kv_heads == 0,
              "cached_attention: qkv must be [R, (H + 2 H_kv) * d] and out [R, H * d] for keys ",
              cache.keys.sizes(), ", got ", qkv.sizes(), " and ", out.sizes());
  TORCH_CHECK(position.dim() == 0 && position.scalar_type() == at::kLong &&
                  position.device() == qkv.device(),
              "cached_attention: position must be a scalar int64 on ", qkv.device());
  check_cache(cache, sizes);
  kernels_for(qkv).attend(qkv, position, cache, sizes, out);
}

}  // namespace gear::ops
