// y = x W^T for a few rows of x and a matrix in blocks of 32 numbers: a step, a floor, and 4 or 8 bits a number,
// W = step * code + floor. The matrix is unfolded on the way, so that a fifth or a third of its memory is read.
#pragma once

#include <cstring>

#include "few_rows.hh"
#include "number.hh"

namespace paribus::kernels {
namespace {

constexpr int64_t kBlock = 32;  // numbers
#if defined(__AVX512F__)
constexpr int64_t kWidth = 16;  // numbers of one register
#elif defined(__AVX2__)
constexpr int64_t kWidth = 8;
#else
constexpr int64_t kWidth = 4;
#endif

using Floats = float __attribute__((vector_size(kWidth * sizeof(float))));
using Integers = int32_t __attribute__((vector_size(kWidth * sizeof(int32_t))));
using Bytes = uint8_t __attribute__((vector_size(kWidth)));

template <typename T>
inline T load(const void* from) {
  T x;
  std::memcpy(&x, from, sizeof(T));
  return x;
}

// By way of integers: compilers know no shorter one.
inline void widen_all(Bytes codes, Floats& to) {
  to = __builtin_convertvector(__builtin_convertvector(codes, Integers), Floats);
}

// Of each block 4 bytes of step, 4 of floor, and its codes. `add` adds its product with 32 numbers of x to two sums.
struct Codes4 {  // two in a byte: the low half is of the first 16 numbers, the high half of the last
  static constexpr int64_t kBytes = 8 + kBlock / 2;
  static inline void add(const uint8_t* block, const float* x, Floats& first, Floats& last) {
    const float step = load<float>(block), floor = load<float>(block + 4);
    for (int64_t i = 0; i < kBlock / 2; i += kWidth) {
      const Bytes both = load<Bytes>(block + 8 + i);
      Floats low, high;
      widen_all(both & 15, low);
      widen_all(both >> 4, high);
      first += (low * step + floor) * load<Floats>(x + i);
      last += (high * step + floor) * load<Floats>(x + kBlock / 2 + i);
    }
  }
};
struct Codes8 {  // signed bytes, counted from the lowest
  static constexpr int64_t kBytes = 8 + kBlock;
  static inline void add(const uint8_t* block, const float* x, Floats& first, Floats& last) {
    const float step = load<float>(block), floor = load<float>(block + 4);
    for (int64_t i = 0; i < kBlock; i += 2 * kWidth) {
      Floats one, other;
      widen_all(load<Bytes>(block + 8 + i) ^ 128, one);
      widen_all(load<Bytes>(block + 8 + i + kWidth) ^ 128, other);
      first += (one * step + floor) * load<Floats>(x + i);
      last += (other * step + floor) * load<Floats>(x + i + kWidth);
    }
  }
};

inline float total(Floats x) {
  float lanes[kWidth];
  std::memcpy(lanes, &x, sizeof(x));
  for (int64_t half = kWidth / 2; half > 0; half /= 2)
    for (int64_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

template <typename Codes>
void block_rows(const float* x, const uint8_t* w, float* y, int64_t rows, int64_t n_in, int64_t n_out, int threads) {
  const int64_t blocks = n_in / kBlock, stride = blocks * Codes::kBytes;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t o = 0; o < n_out; o += 2) {
    const int64_t second = o + 1 < n_out ? o + 1 : o;
    const uint8_t *a = w + o * stride, *b = w + second * stride;
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = x + r * n_in;
      Floats a_first{}, a_last{}, b_first{}, b_last{};
      for (int64_t i = 0; i < blocks; ++i) {
        const int64_t at = i * Codes::kBytes;
        if (r == 0) __builtin_prefetch(a + at + kAhead), __builtin_prefetch(b + at + kAhead);
        Codes::add(a + at, from + i * kBlock, a_first, a_last);
        Codes::add(b + at, from + i * kBlock, b_first, b_last);
      }
      y[r * n_out + o] = total(a_first + a_last);
      y[r * n_out + second] = total(b_first + b_last);
    }
  }
}

}  // namespace
}  // namespace paribus::kernels
