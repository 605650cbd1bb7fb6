#pragma once

#include <cstddef>

namespace gear {

/// Asks the system to back fresh memory by large pages, which take fewer look-ups to read through:
/// call it before anything is written there. Where there are none it does nothing.
void prefer_large_pages(void* memory, size_t bytes);

}  // namespace gear
