// softmax(c q k^T) v for one query a head, over keys and values that lie in several places: a step of decoding.
//
// Keys and values are read once, in order, and that is nearly all the time it takes; the query heads of a group read
// them together. Keys are taken in stretches of a fixed size, so that the sums do not depend on the number of threads.
#pragma once

#include <memory>

#include "number.hh"
#include "table.hh"

namespace paribus::kernels {
namespace {

constexpr int64_t kStretch = 1024;  // keys that one thread takes at a time
constexpr int64_t kKeys = 128;      // keys whose scores are made before their values are read: both stay in the cache
constexpr int64_t kColumns = 64;    // sums of values that grow side by side
constexpr int64_t kRowSums = 32;    // sums of one score that grow side by side
constexpr int64_t kRowAhead = 8192, kCacheLine = 64;  // bytes, as in few_rows.hh

template <typename T>
void ask_for_row(const T* row, int64_t n) {
  const char* at = reinterpret_cast<const char*>(row) + kRowAhead;
  for (int64_t byte = 0; byte < n * static_cast<int64_t>(sizeof(T)); byte += kCacheLine) __builtin_prefetch(at + byte);
}

template <typename T>
float score(const float* q, const T* k, int64_t d) {
  float lanes[kRowSums] = {};
  const int64_t whole = d - d % kRowSums;
  for (int64_t i = 0; i < whole; i += kRowSums) {
#pragma omp simd
    for (int64_t j = 0; j < kRowSums; ++j) lanes[j] += q[i + j] * widen(k[i + j]);
  }
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < kRowSums; ++j) sum += lanes[j];
  for (int64_t i = whole; i < d; ++i) sum += q[i] * widen(k[i]);
  return sum;
}

// out += sum_j p_j v_j, of rows `step` apart.
template <typename T>
void add_values(float* out, const float* p, const T* v, int64_t step, int64_t count, int64_t e) {
  int64_t column = 0;
  for (; column + kColumns <= e; column += kColumns) {
    float sums[kColumns];
    for (int64_t i = 0; i < kColumns; ++i) sums[i] = out[column + i];
    for (int64_t j = 0; j < count; ++j) {
      const T* row = v + j * step + column;
      const float weight = p[j];
#pragma omp simd
      for (int64_t i = 0; i < kColumns; ++i) sums[i] += weight * widen(row[i]);
    }
    for (int64_t i = 0; i < kColumns; ++i) out[column + i] = sums[i];
  }
  if (column == e) return;
  for (int64_t j = 0; j < count; ++j) {
    const T* row = v + j * step;
#pragma omp simd
    for (int64_t i = column; i < e; ++i) out[i] += p[j] * widen(row[i]);
  }
}

// What a stretch of keys gives a query: the largest score, sum exp(s - top), and sum exp(s - top) v after these two.
struct Partial {
  float* at;
  float& top() { return at[0]; }
  float& total() { return at[1]; }
  float* values() { return at + 2; }
};

// Adds the keys of one block, with scores s, to what is there. A score of -inf is a key that is not seen.
template <typename T>
void add_block(Partial sum, float* s, const T* v, int64_t step, int64_t count, int64_t e) {
  float top = sum.top(), wrong = 0.0f;
  for (int64_t j = 0; j < count; ++j) {
    top = s[j] > top ? s[j] : top;
    wrong = s[j] != s[j] ? s[j] : wrong;
  }
  sum.total() += wrong;  // NaN, whatever else is seen
  if (top == -__builtin_inff()) return;
  const float factor = exponential(sum.top() - top);
  float total = 0.0f;
#pragma omp simd reduction(+ : total)
  for (int64_t j = 0; j < count; ++j) {
    s[j] = exponential(s[j] - top);
    total += s[j];
  }
  sum.total() = sum.total() * factor + total;
  sum.top() = top;
  if (factor != 1.0f)
    for (int64_t i = 0; i < e; ++i) sum.values()[i] *= factor;
  add_values(sum.values(), s, v, step, count, e);
}

template <typename T>
void one_query(const Run* runs, int64_t n_runs, const OneQuery& shape, void* out, int threads) {
  const int64_t shared = shape.shared, d = shape.d, e = shape.e, heads = shape.batch * shape.groups;
  int64_t stretches = 0;
  for (int64_t r = 0; r < n_runs; ++r) stretches += (runs[r].count + kStretch - 1) / kStretch;
  const int64_t size = e + 2;
  const std::unique_ptr<float[]> partials(new float[heads * stretches * shared * size]);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const std::unique_ptr<float[]> own(new float[shared * (d + kKeys)]);
    float *q = own.get(), *s = q + shared * d;
#pragma omp for schedule(static)
    for (int64_t unit = 0; unit < heads * stretches; ++unit) {
      const int64_t head = unit / stretches, b = head / shape.groups, group = head % shape.groups;
      int64_t place = unit % stretches, r = 0, before = 0;
      for (int64_t here; place >= (here = (runs[r].count + kStretch - 1) / kStretch); ++r) {
        place -= here;
        before += runs[r].count;
      }
      const Run& run = runs[r];
      const T* k = static_cast<const T*>(run.k.data) + b * run.k.at.batch + group * run.k.at.heads;
      const T* v = static_cast<const T*>(run.v.data) + b * run.v.at.batch + group * run.v.at.heads;
      const bool* counts = shape.seen == nullptr ? nullptr : shape.seen + b * shape.seen_batch + before;
      for (int64_t g = 0; g < shared; ++g) {
        const T* row = static_cast<const T*>(run.q.data) + b * run.q.at.batch + (group * shared + g) * run.q.at.heads;
        for (int64_t i = 0; i < d; ++i) q[g * d + i] = shape.scale * widen(row[i]);
        Partial sum{partials.get() + (unit * shared + g) * size};
        sum.top() = -__builtin_inff();
        for (int64_t i = 1; i < size; ++i) sum.at[i] = 0.0f;
      }
      const int64_t end = (place + 1) * kStretch < run.count ? (place + 1) * kStretch : run.count;
      for (int64_t first = place * kStretch; first < end; first += kKeys) {
        const int64_t count = end - first < kKeys ? end - first : kKeys;
        for (int64_t j = 0; j < count; ++j) {
          const T* key = k + (first + j) * run.k.at.length;
          ask_for_row(key, d);
          ask_for_row(v + (first + j) * run.v.at.length, e);
          const bool hidden = counts != nullptr && !counts[first + j];
          for (int64_t g = 0; g < shared; ++g)
            s[g * kKeys + j] = hidden ? -__builtin_inff() : score(q + g * d, key, d);
        }
        for (int64_t g = 0; g < shared; ++g)
          add_block(Partial{partials.get() + (unit * shared + g) * size}, s + g * kKeys, v + first * run.v.at.length,
                    run.v.at.length, count, e);
      }
    }
  }
  T* y = static_cast<T*>(out);
  const std::unique_ptr<float[]> sums(new float[size]);
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t g = 0; g < shared; ++g, y += e) {
      Partial whole{sums.get()};
      whole.top() = -__builtin_inff();
      for (int64_t i = 1; i < size; ++i) whole.at[i] = 0.0f;
      for (int64_t place = 0; place < stretches; ++place) {
        Partial part{partials.get() + ((head * stretches + place) * shared + g) * size};
        const float top = part.top() > whole.top() ? part.top() : whole.top();
        // A stretch of which nothing is seen adds nothing, but for a score that is no number.
        const float old = whole.top() == top ? 1.0f : exponential(whole.top() - top);
        const float more = part.top() == top ? 1.0f : exponential(part.top() - top);
        whole.top() = top;
        for (int64_t i = 1; i < size; ++i) whole.at[i] = whole.at[i] * old + part.at[i] * more;
      }
      const float total = whole.total();
      for (int64_t i = 0; i < e; ++i) put(y[i], total == 0.0f ? 0.0f : whole.values()[i] / total);
    }
  }
}

}  // namespace
}  // namespace paribus::kernels
