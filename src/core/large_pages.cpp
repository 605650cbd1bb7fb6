#include "gear/core/large_pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace gear {

void prefer_large_pages(void* memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = 4096;
  const auto begin = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t first = (begin + kPage - 1) / kPage * kPage,
                  past = (begin + bytes) / kPage * kPage;
  if (past > first) ::madvise(reinterpret_cast<void*>(first), past - first, MADV_HUGEPAGE);
#endif
}

}  // namespace gear
