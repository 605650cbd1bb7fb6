#include "gear/nn/meta_scope.h"

#include <ATen/ops/empty.h>
#include <torch/library.h>

namespace gear::nn {
namespace {

// LibTorch has no default device in C++. A mode key sits above the choice of backend, so one kernel
// under it catches every factory, all of which end in `empty`.
constexpr auto kModeKey = c10::DispatchKey::TESTING_ONLY_GenericMode;

at::Tensor empty_on_meta(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout> layout, std::optional<at::Device> device,
                         std::optional<bool> pin_memory,
                         std::optional<at::MemoryFormat> memory_format) {
  const c10::impl::ExcludeDispatchKeyGuard below_the_mode(kModeKey);
  return at::empty_symint(size, dtype, layout, device.value_or(at::kMeta), pin_memory,
                          memory_format);
}

}  // namespace

TORCH_LIBRARY_IMPL(_, TESTING_ONLY_GenericMode, library) {
  library.fallback(torch::CppFunction::makeFallthrough());
}

TORCH_LIBRARY_IMPL(aten, TESTING_ONLY_GenericMode, library) {
  library.impl("empty.memory_format", TORCH_FN(empty_on_meta));
}

MetaScope::MetaScope() : redirect_(kModeKey) {}

}  // namespace gear::nn
