// y = x W^T for a few rows of x: W is read once, in order, and that is all the time it takes.
//
// A processor foresees the next lines of memory only within a page, and rows are short: lines are asked for by hand, two
// pages ahead. For 16 bits this halves the time.
#pragma once

#include <memory>

#include "number.hh"

namespace paribus::kernels {
namespace {

constexpr int64_t kSums = 32;  // sums that grow side by side, so that none waits for its last addition
constexpr int64_t kAhead = 8192, kLine = 64;  // bytes

template <typename W>
float product(const float* x, const W* w, int64_t first, int64_t n, const float* lanes) {
  float sum = 0.0f;
  for (int64_t j = 0; j < kSums; ++j) sum += lanes[j];
  for (int64_t i = first; i < n; ++i) sum += x[i] * widen(w[i]);
  return sum;
}

template <typename W>
void ask_for(const W* w) {
  for (int64_t at = 0; at < kSums * static_cast<int64_t>(sizeof(W)); at += kLine)
    __builtin_prefetch(reinterpret_cast<const char*>(w) + kAhead + at);
}

template <typename W>
void few_rows(const W* narrow, const W* w, W* y, int64_t rows, int64_t n_in, int64_t n_out, int threads) {
  const std::unique_ptr<float[]> x(new float[rows * n_in]);
  for (int64_t i = 0; i < rows * n_in; ++i) x[i] = widen(narrow[i]);
  const int64_t whole = n_in - n_in % kSums;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t o = 0; o < n_out; o += 2) {
    const int64_t second = o + 1 < n_out ? o + 1 : o;
    const W *a = w + o * n_in, *b = w + second * n_in;
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = x.get() + r * n_in;
      float a_lanes[kSums] = {}, b_lanes[kSums] = {};
      for (int64_t i = 0; i < whole; i += kSums) {
        if (r == 0) ask_for(a + i), ask_for(b + i);
#pragma omp simd
        for (int64_t j = 0; j < kSums; ++j) {
          a_lanes[j] += from[i + j] * widen(a[i + j]);
          b_lanes[j] += from[i + j] * widen(b[i + j]);
        }
      }
      put(y[r * n_out + o], product(from, a, whole, n_in, a_lanes));
      put(y[r * n_out + second], product(from, b, whole, n_in, b_lanes));
    }
  }
}

}  // namespace
}  // namespace paribus::kernels
