// Numbers of 32 and 16 bits, and an exponential that the compiler can put into vectors.
//
// All of this folder lies in unnamed namespaces: it is compiled once for each kind of processor, and no function of
// one may be merged with that of another.
#pragma once

#include <cstdint>

namespace paribus::kernels {
namespace {

struct BFloat16 {
  uint16_t bits;
};

inline float widen(float x) { return x; }
inline float widen(BFloat16 x) { return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16); }

inline void put(float& to, float x) { to = x; }
// To the nearest, ties to even; NaN stays NaN.
inline void put(BFloat16& to, float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to.bits = static_cast<uint16_t>(x != x ? 0x7fc0u : rounded);
}

// exp(x) for x <= 88, to 2 units in the last place (the polynomial of Cephes); 0 below -87, where the power of two would
// leave the normal numbers; NaN stays NaN.
inline float exponential(float x) {
  const float n = __builtin_rintf(x * 1.44269504088896341f);
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  const uint32_t power = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  return x < -87.0f ? 0.0f : y * __builtin_bit_cast(float, power);
}

}  // namespace
}  // namespace paribus::kernels
