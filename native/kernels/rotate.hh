// (a, b) -> (a cos - b sin, a sin + b cos) for the half-split pairs (x_i, x_{i + half}) of each head.
#pragma once

#include "number.hh"
#include "table.hh"

namespace paribus::kernels {
namespace {


// cos, sin (batch or 1, length, half), contiguous: angle_batch is the stride of their first axis, 0 where it is 1.
// sign = -1 turns back.
template <typename T>
void rotate(const T* x, Layout from, T* y, Layout to, const float* cos, const float* sin, int64_t angle_batch,
            int64_t batch, int64_t heads, int64_t length, int64_t half, float sign, int threads) {
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < length; ++t) {
      const float* c = cos + b * angle_batch + t * half;
      const float* s = sin + b * angle_batch + t * half;
      for (int64_t h = 0; h < heads; ++h) {
        const T* in = x + b * from.batch + h * from.heads + t * from.length;
        T* out = y + b * to.batch + h * to.heads + t * to.length;
#pragma omp simd
        for (int64_t i = 0; i < half; ++i) {
          const float first = widen(in[i]), second = widen(in[i + half]), turn = sign * s[i];
          put(out[i], first * c[i] - second * turn);
          put(out[i + half], second * c[i] + first * turn);
        }
      }
    }
  }
}

}  // namespace
}  // namespace paribus::kernels
