// y = g n, n = r x, r = 1 / sqrt(mean(x^2) + eps), for each row of x.
#pragma once

#include "number.hh"

namespace paribus::kernels {
namespace {

template <typename X, typename Y>
void rms_norm(const X* x, const float* gain, Y* y, float* inverse, int64_t rows, int64_t d, float eps, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t r = 0; r < rows; ++r) {
    const X* from = x + r * d;
    Y* to = y + r * d;
    float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < d; ++i) squares += widen(from[i]) * widen(from[i]);
    const float factor = 1.0f / __builtin_sqrtf(squares / static_cast<float>(d) + eps);
    inverse[r] = factor;
#pragma omp simd
    for (int64_t i = 0; i < d; ++i) put(to[i], widen(from[i]) * factor * gain[i]);
  }
}

// dx = r (u - n mean(u n)), u = g dy;  gain_rows (blocks, d) receives the sums of dy n over blocks of `block` rows.
template <typename X, typename Y>
void rms_norm_backward(const X* x, const float* gain, const float* inverse, const Y* dy, X* dx, float* gain_rows,
                       int64_t rows, int64_t d, int64_t block, int threads) {
  const int64_t blocks = (rows + block - 1) / block;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t b = 0; b < blocks; ++b) {
    float* sums = gain_rows + b * d;
    for (int64_t i = 0; i < d; ++i) sums[i] = 0.0f;
    const int64_t last = (b + 1) * block < rows ? (b + 1) * block : rows;
    for (int64_t r = b * block; r < last; ++r) {
      const X* from = x + r * d;
      const Y* g = dy + r * d;
      X* to = dx + r * d;
      const float factor = inverse[r];
      float along = 0.0f;
#pragma omp simd reduction(+ : along)
      for (int64_t i = 0; i < d; ++i) {
        const float normed = widen(from[i]) * factor;
        const float change = widen(g[i]);
        along += change * gain[i] * normed;
        sums[i] += change * normed;
      }
      const float mean = along / static_cast<float>(d);
#pragma omp simd
      for (int64_t i = 0; i < d; ++i)
        put(to[i], factor * (widen(g[i]) * gain[i] - widen(from[i]) * factor * mean));
    }
  }
}

}  // namespace
}  // namespace paribus::kernels
