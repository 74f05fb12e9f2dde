// Tiles of AMX: 16 rows of 64 bytes, and the layouts in which the product of two of them is taken.
//
// C (16 x 16 float) += A (16 x 32 bfloat16, as it is written) B, where row r of B holds the pairs (b_2r,j, b_2r+1,j).
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

// Written out, since the compiler's own forms do not say that they read and write memory.
#define TILE_LOAD(tile, base, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(base), "r"(static_cast<long>(stride)) : "memory")
#define TILE_STORE(tile, base, stride) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(base), "r"(static_cast<long>(stride)) : "memory")
#define TILE_ZERO(tile) asm volatile("tilezero %%tmm" #tile : :)
#define TILE_DOT(c, a, b) asm volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

namespace paribus::kernels {
namespace {

constexpr int64_t kTile = 512;  // 16-bit numbers of a tile
constexpr int64_t kSquare = 256;  // 32-bit numbers of a tile

// All eight tiles whole for as long as it lives; then what was there before.
class Tiles {
 public:
  Tiles() {
    alignas(64) uint8_t whole[64] = {1};
    for (int i = 0; i < 8; ++i) {
      whole[16 + 2 * i] = 64;
      whole[48 + i] = 16;
    }
    asm volatile("sttilecfg %0" : "=m"(before_) : : "memory");
    asm volatile("ldtilecfg %0" : : "m"(whole) : "memory");
  }
  ~Tiles() {
    if (before_[0] == 0)
      asm volatile("tilerelease" : :);
    else
      asm volatile("ldtilecfg %0" : : "m"(before_) : "memory");
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

 private:
  alignas(64) uint8_t before_[64];
};

// 16 x 16 words of 32 bits, in place.
inline void transpose(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// rows (length, stride) with the strides of one head -> (padded, width) with zeros around them.
inline void copy_rows(const uint16_t* from, int64_t stride, int64_t length, int64_t width, uint16_t* to, int64_t padded,
                      int64_t padded_width) {
  for (int64_t t = 0; t < padded; ++t) {
    const int64_t given = t < length ? width : 0;
    std::memcpy(to + t * padded_width, from + t * stride, 2 * given);
    std::memset(to + t * padded_width + given, 0, 2 * (padded_width - given));
  }
}

// 16 rows x 32 columns of x -> the operand B that is its transpose: a product with it sums over the columns of x.
inline void transposed_operand(const uint16_t* x, int64_t stride, uint16_t* to) {
  __m512i r[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(x + i * stride);
  transpose(r);
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + 32 * i, r[i]);
}

inline __m512i pair(const uint16_t* first, const uint16_t* second) {
  const __m512i a = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first)));
  const __m512i b = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(second)));
  return _mm512_or_si512(a, _mm512_slli_epi32(b, 16));
}

// 32 rows x 16 columns of x -> the operand B that is x: a product with it sums over the rows of x.
inline void operand(const uint16_t* x, int64_t stride, uint16_t* to) {
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + 32 * i, pair(x + 2 * i * stride, x + (2 * i + 1) * stride));
}

// 32 rows x 16 columns of x -> the operand A that is its transpose, 16 x 32.
inline void transposed_left_operand(const uint16_t* x, int64_t stride, uint16_t* to) {
  __m512i r[16];
  for (int i = 0; i < 16; ++i) r[i] = pair(x + 2 * i * stride, x + (2 * i + 1) * stride);
  transpose(r);
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + 32 * i, r[i]);
}

// 2^x to 3e-7 of itself, 0 far below; NaN stays NaN.
inline __m512 power_of_two(__m512 x) {
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, n);
  __m512 y = _mm512_set1_ps(1.32765e-3f);
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(9.67554e-3f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.550713e-2f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.402212e-1f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.9314697e-1f));
  y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(y, n);
}

inline __m512i rounded(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// The first `count` of 16 numbers, rounded.
inline void put_rounded(uint16_t* to, __m512 x, int64_t count) {
  const __mmask16 mask = count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1);
  _mm256_mask_storeu_epi16(to, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}

}  // namespace
}  // namespace paribus::kernels
