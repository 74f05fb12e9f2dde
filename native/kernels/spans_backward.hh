// The gradients of attention over spans, one run at a time, from the output and log-sum-exp of all runs.
//
//   p_ij = exp(s_ij - l_i),   t_ij = p_ij (<g_i, v_j> - <g_i, o_i>),   g the gradient of the output
//   dv_j = sum_i p_ij g_i,    dq_i = c sum_j t_ij k_j,    dk_j = c sum_i t_ij q_i
//
// A thread takes a head. Panels of keys meet blocks of rows: p and t of a block stay in the near cache for the three
// sums, each of which is a product of small matrices. Nothing is summed by two threads.
#pragma once

#include "number.hh"
#include "panels.hh"

namespace paribus::kernels {
namespace {

class SpanGradients {
 public:
  SpanGradients(int64_t rows, int64_t d, int64_t e)
      : rows_(rows), d_(d), e_(e), wide_d_(rounded_up(d, kWide)), wide_e_(rounded_up(e, kWide)),
        q_(numbers(rounded_up(rows, kBlock) * wide_d_)), g_(numbers(rounded_up(rows, kBlock) * wide_e_)),
        dq_(numbers(rounded_up(rows, kBlock) * wide_d_)), dot_(numbers(rounded_up(rows, kBlock))),
        k_(numbers(kPanel * wide_d_)), k_across_(numbers(kPanel * d)), v_across_(numbers(kPanel * e)),
        dk_(numbers(kPanel * wide_d_)), dv_(numbers(kPanel * wide_e_)), p_(numbers(kBlock * kPanel)),
        t_(numbers(kBlock * kPanel)) {
    spans_.reserve(rows);
  }

  // Writes dq of all rows and dk of the keys in some span, and adds to dv; all counted as the operands are.
  void add(Rows q, Rows k, Rows v, Rows g, const float* out, const float* lse, const int64_t* low, const int64_t* high,
           float scale, float* dq, float* dk, float* dv) {
    spans_.read(low, high, rows_);
    lse_ = lse;
    read_rows(q, g, out, scale);
    const Span whole = spans_.whole;
    for (int64_t first = whole.empty() ? whole.high : whole.low / kPanel * kPanel; first < whole.high; first += kPanel) {
      const Span seen{first > whole.low ? first : whole.low, first + kPanel < whole.high ? first + kPanel : whole.high};
      for (int64_t i = 0; i < kPanel * wide_d_; ++i) k_[i] = dk_[i] = 0.0f;
      for (int64_t i = 0; i < kPanel * wide_e_; ++i) dv_[i] = 0.0f;
      pack(k, first, seen, d_, wide_d_, k_.get());
      pack_across(k, first, seen, d_, k_across_.get());
      pack_across(v, first, seen, e_, v_across_.get());
      for (int64_t row = 0; row < rows_; row += kBlock) meet(row, first);
      for (int64_t j = seen.low; j < seen.high; ++j) {
        for (int64_t i = 0; i < d_; ++i) dk[(j - k.first) * d_ + i] = dk_[(j - first) * wide_d_ + i];
        for (int64_t i = 0; i < e_; ++i) dv[j * e_ + i] += dv_[(j - first) * wide_e_ + i];
      }
    }
    for (int64_t i = 0; i < rows_; ++i)
      if (!spans_.own[i].empty())
        for (int64_t j = 0; j < d_; ++j) dq[(i - q.first) * d_ + j] = scale * dq_[i * wide_d_ + j];
  }

 private:
  static constexpr int64_t kTiles = 16, kBlock = kTiles * kTileRows, kRest = kPanel % kTileRows;

  void read_rows(Rows q, Rows g, const float* out, float scale) {
    for (int64_t i = 0; i < rounded_up(rows_, kBlock); ++i) {
      const bool used = i < rows_ && !spans_.own[i].empty();
      float dot = 0.0f;
      for (int64_t j = 0; j < wide_d_; ++j) {
        q_[i * wide_d_ + j] = used && j < d_ ? scale * q.row(i)[j] : 0.0f;
        dq_[i * wide_d_ + j] = 0.0f;
      }
      for (int64_t j = 0; j < wide_e_; ++j) {
        g_[i * wide_e_ + j] = used && j < e_ ? g.row(i)[j] : 0.0f;
        if (used && j < e_) dot += g.row(i)[j] * out[i * e_ + j];
      }
      dot_[i] = dot;
    }
  }

  // The rows of a block and the keys of a panel.
  void meet(int64_t row, int64_t first) {
    const int64_t left_over = static_cast<int64_t>(spans_.tiles.size()) - row / kTileRows;
    const int64_t tiles = left_over < kTiles ? left_over : kTiles;
    bool any = false;
    for (int64_t t = 0; t < tiles; ++t) any = any || !Part(first, spans_.tiles[row / kTileRows + t].some).empty();
    if (!any) return;
    for (int64_t t = 0; t < tiles; ++t) weigh(row + t * kTileRows, t * kTileRows * kPanel, first);
    int64_t key = 0;
    for (; key + kTileRows <= kPanel; key += kTileRows) sum_up<kTileRows>(row, tiles, first, key);
    if constexpr (kRest > 0) sum_up<kRest>(row, tiles, first, key);
  }

  // p and t of the six rows of a tile, from `place` on, and what they add to dq.
  void weigh(int64_t row, int64_t place, int64_t first) {
    float *p = p_.get() + place, *t = t_.get() + place;
    const auto [some, all] = spans_.tiles[row / kTileRows];
    const Part part(first, some);
    const auto [from, to, left, width] = part;
    if (part.empty() || width < kPanel)
      for (int64_t i = 0; i < kTileRows * kPanel; ++i) p[i] = t[i] = 0.0f;
    if (part.empty()) return;
    product<false>(width / kWide, p + left, kPanel, {q_.get() + row * wide_d_, wide_d_, 1}, k_across_.get() + left, kPanel,
                   d_);
    product<false>(width / kWide, t + left, kPanel, {g_.get() + row * wide_e_, wide_e_, 1}, v_across_.get() + left, kPanel,
                   e_);
    const bool whole = part.within(all, first);
    for (int64_t i = 0; i < kTileRows; ++i) {
      float *weights = p + i * kPanel + left, *slopes = t + i * kPanel + left;
      const Span own = spans_.own[row + i];
      const float sum = own.empty() ? 0.0f : lse_[row + i], dot = dot_[row + i];
      for (int64_t v = 0; v < width; v += kWide) {
#pragma omp simd
        for (int64_t j = v; j < v + kWide; ++j) {
          weights[j] = exponential(weights[j] - sum);
          slopes[j] = weights[j] * (slopes[j] - dot);
        }
      }
      if (!whole) {
        const int64_t low = own.low - first - left, high = own.high - first - left;
        for (int64_t j = 0; j < width; ++j) {
          const bool seen = j >= low && j < high;
          weights[j] = seen ? weights[j] : 0.0f;
          slopes[j] = seen ? slopes[j] : 0.0f;
        }
      }
    }
    product<true>(wide_d_ / kWide, dq_.get() + row * wide_d_, wide_d_, {t + from, kPanel, 1}, k_.get() + from * wide_d_,
                  wide_d_, to - from);
  }

  // What the rows of a block add to R keys of a panel.
  template <int R>
  void sum_up(int64_t row, int64_t tiles, int64_t first, int64_t key) {
    int64_t begin = tiles, end = 0;  // tiles that see one of them
    for (int64_t t = 0; t < tiles; ++t) {
      const Part part(first, spans_.tiles[row / kTileRows + t].some);
      if (part.empty() || part.from >= key + R || part.to <= key) continue;
      begin = t < begin ? t : begin;
      end = t + 1;
    }
    if (begin >= end) return;
    const int64_t skip = begin * kTileRows, count = (end - begin) * kTileRows, at = skip * kPanel + key;
    product<true, R>(wide_e_ / kWide, dv_.get() + key * wide_e_, wide_e_, {p_.get() + at, 1, kPanel},
                     g_.get() + (row + skip) * wide_e_, wide_e_, count);
    product<true, R>(wide_d_ / kWide, dk_.get() + key * wide_d_, wide_d_, {t_.get() + at, 1, kPanel},
                     q_.get() + (row + skip) * wide_d_, wide_d_, count);
  }

  int64_t rows_, d_, e_, wide_d_, wide_e_;
  Numbers q_, g_, dq_, dot_, k_, k_across_, v_across_, dk_, dv_, p_, t_;
  RowSpans spans_;
  const float* lse_ = nullptr;
};

// dq (batch, heads, rows of the run, d) and dk (batch, heads, keys of the run, d) hold zeros; dv (batch, heads, keys, e)
// what other runs gave: contiguous as out (batch, heads, rows, e) and lse (batch, heads, rows) are.
void span_attention_backward(const SpanRun& run, Operand v, Operand gradient, const float* out, const float* lse,
                             const SpanShape& shape, SpanLengths lengths, float* dq, float* dk, float* dv, int threads) {
  const int64_t heads = shape.batch * shape.heads;
  const auto own = one_a_thread<SpanGradients>(threads, shape.rows, shape.d, shape.e);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    SpanGradients& gradients = *own[this_thread()];
#pragma omp for schedule(dynamic, 1)
    for (int64_t unit = 0; unit < heads; ++unit) {
      const int64_t batch = unit / shape.heads, head = unit % shape.heads, group = head / shape.shared;
      gradients.add(rows_of(run.q, batch, head, run.first_row), rows_of(run.k, batch, group, run.first_key),
                    rows_of(v, batch, group, 0), rows_of(gradient, batch, head, 0), out + unit * shape.rows * shape.e,
                    lse + unit * shape.rows, run.low, run.high, shape.scale, dq + unit * lengths.rows * shape.d,
                    dk + unit * lengths.keys * shape.d, dv + unit * lengths.all_keys * shape.e);
    }
  }
}

}  // namespace
}  // namespace paribus::kernels
