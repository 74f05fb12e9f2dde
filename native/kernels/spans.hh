// Softmax attention where a query sees one stretch of keys in each run, and meets them by vectors of that run: causal
// masks, windows, and positions that turn near pairs in another way than far ones.
//
//   s_ij = c <q_i, k_j>, low_i <= j < high_i, of every run;   o_i = sum_j softmax(s_i)_j v_j,   l_i = log sum_j exp s_ij
//
// A thread takes some rows of one head. Keys come in panels as wide as the registers hold for six rows: products with a
// panel are made in registers, and their exponentials are used while they are in the nearest cache. Of a panel in which
// some pairs are hidden only the vectors are computed that hold a seen one. Sums are the same for any number of threads.
#pragma once

#include <cmath>

#include "number.hh"
#include "panels.hh"

namespace paribus::kernels {
namespace {

constexpr int64_t kRows = 128 * kTileRows;  // queries that meet a panel one after the other

// What one thread holds: queries and sums of some rows, and a panel of keys and of values.
class SpanRows {
 public:
  SpanRows(int64_t d, int64_t e)
      : d_(d), e_(e), wide_e_(rounded_up(e, kWide)), q_(numbers(kRows * d)), o_(numbers(kRows * wide_e_)),
        keys_(numbers(kPanel * d)), values_(wide_e_ == e ? nullptr : numbers(kPanel * wide_e_)),
        totals_(numbers(kRows * kWide)), top_(numbers(kRows)) {
    spans_.reserve(kRows);
  }

  void start(int64_t rows) {
    rows_ = rows;
    const int64_t padded = rounded_up(rows, kTileRows);
    for (int64_t i = 0; i < padded * wide_e_; ++i) o_[i] = 0.0f;
    for (int64_t i = 0; i < padded * kWide; ++i) totals_[i] = 0.0f;
    for (int64_t i = 0; i < padded; ++i) top_[i] = -__builtin_inff();
  }

  // Row i is q.row(i) and sees the keys low[i] .. high[i] - 1.
  void add(Rows q, Rows k, Rows v, const int64_t* low, const int64_t* high, float scale) {
    spans_.read(low, high, rows_);
    for (int64_t i = 0; i < static_cast<int64_t>(spans_.own.size()); ++i)
      for (int64_t j = 0; j < d_; ++j) q_[i * d_ + j] = spans_.own[i].empty() ? 0.0f : scale * q.row(i)[j];
    const Span whole = spans_.whole;
    if (whole.empty()) return;
    for (int64_t first = whole.low / kPanel * kPanel; first < whole.high; first += kPanel) {
      const Span seen{first > whole.low ? first : whole.low, first + kPanel < whole.high ? first + kPanel : whole.high};
      pack_across(k, first, seen, d_, keys_.get());
      Rows values = v;
      if (values_ != nullptr) {
        pack(v, first, seen, e_, wide_e_, values_.get());
        values = {values_.get(), wide_e_, first};
      }
      for (size_t t = 0; t < spans_.tiles.size(); ++t) meet(t, first, values);
    }
  }

  // Row i to out + i e, and its log-sum-exp.
  void finish(float* out, float* lse) {
    for (int64_t i = 0; i < rows_; ++i) {
      float total = 0.0f;
      for (int64_t j = 0; j < kWide; ++j) total += totals_[i * kWide + j];
      for (int64_t j = 0; j < e_; ++j) out[i * e_ + j] = total == 0.0f ? 0.0f : o_[i * wide_e_ + j] / total;
      lse[i] = top_[i] + std::log(total);
    }
  }

 private:
  // The six rows of a tile and the keys of a panel.
  void meet(int64_t tile, int64_t first, Rows values) {
    const auto [some, all] = spans_.tiles[tile];
    const Part part(first, some);
    if (part.empty()) return;
    const auto [from, to, left, width] = part;
    const int64_t row = tile * kTileRows;
    const bool whole = part.within(all, first);
    alignas(64) float scores[kTileRows * kPanel];
    product<false>(width / kWide, scores + left, kPanel, {q_.get() + row * d_, d_, 1}, keys_.get() + left, kPanel, d_);
    for (int64_t i = 0; i < kTileRows; ++i) {
      float* s = scores + i * kPanel + left;
      if (!whole) {
        const int64_t low = spans_.own[row + i].low - first - left, high = spans_.own[row + i].high - first - left;
        for (int64_t j = 0; j < width; ++j) s[j] = j >= low && j < high ? s[j] : -__builtin_inff();
      }
      weigh(row + i, s, width);
    }
    product<true>(wide_e_ / kWide, o_.get() + row * wide_e_, wide_e_, {scores + from, kPanel, 1},
                  values.row(first + from), values.step, to - from);
  }

  // Scores of a row become exp(s - top), what is there being brought to the new top.
  void weigh(int64_t row, float* s, int64_t width) {
    float top = top_[row];
    const float before = top;
    if (width == kPanel) {
#pragma omp simd reduction(max : top)
      for (int64_t j = 0; j < kPanel; ++j) top = s[j] > top ? s[j] : top;
    } else {
      for (int64_t j = 0; j < width; ++j) top = s[j] > top ? s[j] : top;
    }
    float* totals = totals_.get() + row * kWide;
    if (top == -__builtin_inff()) {  // nothing was seen yet, unless it is no number
      for (int64_t j = 0; j < width; ++j) {
        if (s[j] != s[j]) totals[0] = s[j];
        s[j] = 0.0f;
      }
      return;
    }
    Lanes sum = load(totals);
    if (top > before) {
      const float factor = exponential(before - top);
      top_[row] = top;
      sum *= factor - Lanes{};
      float* o = o_.get() + row * wide_e_;
#pragma omp simd
      for (int64_t j = 0; j < wide_e_; ++j) o[j] *= factor;
    }
    for (int64_t v = 0; v < width; v += kWide) {
#pragma omp simd
      for (int64_t j = 0; j < kWide; ++j) s[v + j] = exponential(s[v + j] - top);
      sum += load(s + v);
    }
    store(totals, sum);
  }

  int64_t d_, e_, wide_e_, rows_ = 0;
  Numbers q_, o_, keys_, values_, totals_, top_;
  RowSpans spans_;
};

// out (batch, heads, rows, e) and lse (batch, heads, rows), contiguous.
void span_attention(const SpanRun* runs, int64_t n_runs, Operand v, const SpanShape& shape, float* out, float* lse,
                    int threads) {
  const int64_t chunks = (shape.rows + kRows - 1) / kRows, heads = shape.batch * shape.heads;
  const auto own = one_a_thread<SpanRows>(threads, shape.d, shape.e);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    SpanRows* rows = own[this_thread()].get();
#pragma omp for schedule(dynamic, 1)
    for (int64_t unit = 0; unit < heads * chunks; ++unit) {
      // The last rows first: under a causal mask they take longest.
      const int64_t first = (chunks - 1 - unit / heads) * kRows, count = shape.rows - first;
      const int64_t batch = unit % heads / shape.heads, head = unit % shape.heads, group = head / shape.shared;
      rows->start(count < kRows ? count : kRows);
      for (int64_t r = 0; r < n_runs; ++r) {
        const SpanRun& run = runs[r];
        rows->add(rows_of(run.q, batch, head, run.first_row - first), rows_of(run.k, batch, group, run.first_key),
                  rows_of(v, batch, group, 0), run.low + first, run.high + first, shape.scale);
      }
      const int64_t place = (batch * shape.heads + head) * shape.rows + first;
      rows->finish(out + place * shape.e, lse + place);
    }
  }
}

}  // namespace
}  // namespace paribus::kernels
