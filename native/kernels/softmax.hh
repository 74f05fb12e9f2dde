// P = softmax(c S) over the keys that a causal query sees, in place; and its gradient.
#pragma once

#include "number.hh"

namespace paribus::kernels {
namespace {

constexpr int64_t kLanes = 16;

// The end of the last whole group of lanes that holds one of the first `seen` of n entries.
inline int64_t whole_lanes(int64_t seen, int64_t n) {
  const int64_t end = (seen + kLanes - 1) / kLanes * kLanes;
  return end < n ? end : n;
}

// scores (rows, n): row r sees its first r % period + 1 keys. The others become exactly 0.
template <typename T>
void causal_softmax(T* scores, int64_t rows, int64_t n, int64_t period, float scale, int threads) {
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    float* wide = new float[n];
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      T* row = scores + r * n;
      const int64_t seen = r % period + 1, end = whole_lanes(seen, n);
      float top = -__builtin_inff();
#pragma omp simd reduction(max : top)
      for (int64_t j = 0; j < end; ++j) {
        const float s = j < seen ? scale * widen(row[j]) : -__builtin_inff();
        wide[j] = s;
        top = s > top ? s : top;
      }
      float total = 0.0f;
#pragma omp simd reduction(+ : total)
      for (int64_t j = 0; j < end; ++j) {
        const float e = exponential(wide[j] - top);
        wide[j] = e;
        total += e;
      }
      const float factor = 1.0f / total;
#pragma omp simd
      for (int64_t j = 0; j < end; ++j) put(row[j], wide[j] * factor);
      for (int64_t j = end; j < n; ++j) row[j] = T{};
    }
    delete[] wide;
  }
}

// In place on the gradient of the weights: dS = c P (dP - sum P dP). P is 0 where nothing is seen, and so is dS.
template <typename T>
void causal_softmax_backward(T* gradient, const T* weights, int64_t rows, int64_t n, int64_t period, float scale,
                             int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t r = 0; r < rows; ++r) {
    T* row = gradient + r * n;
    const T* p = weights + r * n;
    const int64_t end = whole_lanes(r % period + 1, n);
    float mean = 0.0f;
#pragma omp simd reduction(+ : mean)
    for (int64_t j = 0; j < end; ++j) mean += widen(p[j]) * widen(row[j]);
#pragma omp simd
    for (int64_t j = 0; j < end; ++j) put(row[j], scale * widen(p[j]) * (widen(row[j]) - mean));
    for (int64_t j = end; j < n; ++j) row[j] = T{};
  }
}

}  // namespace
}  // namespace paribus::kernels
