// The entry point of libFuzzer, compiled once for each target (GEAR_FUZZ_TARGET).
#include <cstddef>
#include <cstdint>

#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gear::fuzz::read_or_refuse(gear::fuzz::GEAR_FUZZ_TARGET,
                             {reinterpret_cast<const char*>(data), size});
  return 0;
}
