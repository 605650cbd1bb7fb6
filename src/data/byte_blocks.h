#pragma once

#include <array>
#include <cstdint>
#include <cstring>

// Bytes moved 16 at a time, in the vectors of the compiler: every x86-64 has these, other
// processors get what suits them.

// One build serves every x86-64: functions marked so are compiled three times and the loader of the
// program picks the widest vectors that the machine has. What they call has to be inlined into them
// to be part of that.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GEAR_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define GEAR_VECTOR_CLONES
#endif
#define GEAR_INLINED inline __attribute__((always_inline))

namespace gear::data {

constexpr int64_t kBlock = 16;  // bytes of a vector

using Bytes = uint8_t __attribute__((vector_size(kBlock)));

GEAR_INLINED Bytes load_bytes(const uint8_t* from) {
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

GEAR_INLINED void store_bytes(const Bytes& bytes, uint8_t* to) {
  std::memcpy(to, &bytes, sizeof bytes);
}

/// Rows to columns: byte c of row r becomes byte r of row c. Four times, row i and row i + 8 are
/// woven into rows 2 i and 2 i + 1; each time moves one bit of the row number into the column.
GEAR_INLINED void transpose(std::array<Bytes, kBlock>& rows) {
  for (int step = 0; step < 4; ++step) {
    std::array<Bytes, kBlock> woven;
    for (size_t i = 0; i < kBlock / 2; ++i) {
      const Bytes a = rows[i], b = rows[i + kBlock / 2];
      woven[2 * i] =
          __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      woven[2 * i + 1] = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29,
                                                 14, 30, 15, 31);
    }
    rows = woven;
  }
}

GEAR_INLINED Bytes reversed(const Bytes& bytes) {
  return __builtin_shufflevector(bytes, bytes, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1,
                                 0);
}

/// The channels of 16 neighbouring pixels, 48 bytes of red, green and blue in turn.
GEAR_INLINED std::array<Bytes, 3> split_pixels(const uint8_t* pixels) {
  const Bytes a = load_bytes(pixels), b = load_bytes(pixels + kBlock),
              c = load_bytes(pixels + 2 * kBlock);
  // Channel k is at the bytes k, k + 3, ... of the 48; -1: comes from the third vector.
  const Bytes red =
      __builtin_shufflevector(a, b, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, -1, -1, -1, -1, -1);
  const Bytes green =
      __builtin_shufflevector(a, b, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, -1, -1, -1, -1, -1);
  const Bytes blue =
      __builtin_shufflevector(a, b, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, -1, -1, -1, -1, -1, -1);
  return {__builtin_shufflevector(red, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29),
          __builtin_shufflevector(green, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30),
          __builtin_shufflevector(blue, c, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31)};
}

}  // namespace gear::data
