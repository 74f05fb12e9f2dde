// loss = log sum_j exp(z_j) - z_target of each row, and d loss / dz = softmax(z) - onehot(target).
#pragma once

#include "number.hh"

namespace paribus::kernels {
namespace {

// log_sum (rows) receives log sum exp; losses (rows) the loss, 0 where the target is `ignored`.
template <typename T>
void cross_entropy(const T* logits, const int64_t* targets, int64_t ignored, float* log_sum, float* losses,
                   int64_t rows, int64_t n, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = logits + r * n;
    float top = -__builtin_inff();
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < n; ++j) {
      const float z = widen(row[j]);
      top = z > top ? z : top;
    }
    float total = 0.0f;
#pragma omp simd reduction(+ : total)
    for (int64_t j = 0; j < n; ++j) total += exponential(widen(row[j]) - top);
    log_sum[r] = top + __builtin_logf(total);
    losses[r] = targets[r] == ignored ? 0.0f : log_sum[r] - widen(row[targets[r]]);
  }
}

template <typename T>
void cross_entropy_backward(const T* logits, const int64_t* targets, int64_t ignored, const float* log_sum,
                            T* gradient, float factor, int64_t rows, int64_t n, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = logits + r * n;
    T* to = gradient + r * n;
    if (targets[r] == ignored) {
      for (int64_t j = 0; j < n; ++j) to[j] = T{};
      continue;
    }
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) put(to[j], factor * exponential(widen(row[j]) - log_sum[r]));
    const int64_t k = targets[r];
    put(to[k], factor * (exponential(widen(row[k]) - log_sum[r]) - 1.0f));
  }
}

}  // namespace
}  // namespace paribus::kernels
