#pragma once

// For loops whose register tiles differ between processors, where the clones of dispatch.h, made
// from one loop, would not do: such a loop is written once, as a template on its vectors, and
// instantiated in functions marked GEAR_AVX2 and GEAR_AVX512.

#ifdef __x86_64__
#define GEAR_AVX2 __attribute__((target("avx2,fma")))
#define GEAR_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx2,fma")))
#else
#define GEAR_AVX2
#define GEAR_AVX512
#endif

namespace gear::ops::cpu {

enum class Vectors { kNone, kAvx2, kAvx512 };

/// The widest that this processor has. Other architectures count as kAvx2: the compiler makes what
/// it can of eight floats.
inline Vectors vectors() {
#ifdef __x86_64__
  static const Vectors found = [] {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Vectors::kNone;
    const bool all = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("avx512dq");
    return all ? Vectors::kAvx512 : Vectors::kAvx2;
  }();
  return found;
#else
  return Vectors::kAvx2;
#endif
}

}  // namespace gear::ops::cpu
