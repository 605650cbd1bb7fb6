#pragma once

// gear is compiled for every x86-64 processor, whose vectors hold four floats. A loop marked
// GEAR_VECTOR_CLONES is compiled three times, for AVX-512 (x86-64-v4), for AVX2 with FMA (v3) and
// for the baseline, and the dynamic linker picks the version that this processor runs. Such a
// function is a plain loop over pointers; what it calls must be GEAR_INLINE, since a function that
// stays out of line is compiled for the baseline alone. One call costs a jump through a pointer, so
// it should cover thousands of elements.
//
// Clang (up to 14 at least) refuses the attribute on templates, and the code that picks a version
// runs before AddressSanitizer is ready: there, and on other processors, the loop is compiled once.

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define GEAR_VECTOR_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GEAR_VECTOR_CLONES
#endif

// Clang warns about every "omp simd" loop that it leaves scalar, such as those in float64 with
// std::exp.
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

#define GEAR_INLINE inline __attribute__((always_inline))
