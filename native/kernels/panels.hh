// Products of small matrices of 32 bits in registers, and which keys the rows of one see: for attention over spans.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include "table.hh"

namespace paribus::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kWide = 16, kVectors = 4;
#elif defined(__AVX2__)
constexpr int64_t kWide = 8, kVectors = 2;
#else
constexpr int64_t kWide = 4, kVectors = 2;
#endif
constexpr int64_t kPanel = kWide * kVectors;  // keys
constexpr int64_t kTileRows = 6;

typedef float Lanes __attribute__((vector_size(4 * kWide)));
typedef float LooseLanes __attribute__((vector_size(4 * kWide), aligned(4)));

inline Lanes load(const float* x) { return *reinterpret_cast<const LooseLanes*>(x); }
inline void store(float* x, Lanes y) { *reinterpret_cast<LooseLanes*>(x) = y; }

struct Factor {  // element (row, i) is at[row * row_step + i * step]
  const float* at;
  int64_t row_step, step;
};

// c (R, V vectors) = a (R, n) b (n, V vectors), or added to what is there as one number.
template <bool add, int R, int V>
void product_of(float* c, int64_t c_step, Factor a, const float* b, int64_t b_step, int64_t n) {
  Lanes sums[R][V];
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[r][v] = Lanes{};
  for (int64_t i = 0; i < n; ++i) {
    Lanes row[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) row[v] = load(b + i * b_step + v * kWide);
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const Lanes x = a.at[r * a.row_step + i * a.step] - Lanes{};
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sums[r][v] += x * row[v];
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      float* to = c + r * c_step + v * kWide;
      store(to, add ? load(to) + sums[r][v] : sums[r][v]);
    }
}

// The same for any number of vectors, which stand side by side in b and c.
template <bool add, int R = kTileRows, int V = kVectors>
void product(int64_t vectors, float* c, int64_t c_step, Factor a, const float* b, int64_t b_step, int64_t n) {
  if constexpr (V > 1)
    if (vectors < V) return product<add, R, V - 1>(vectors, c, c_step, a, b, b_step, n);
  for (; vectors >= V; vectors -= V, c += V * kWide, b += V * kWide) product_of<add, R, V>(c, c_step, a, b, b_step, n);
  if constexpr (V > 1)
    if (vectors > 0) product<add, R, V - 1>(vectors, c, c_step, a, b, b_step, n);
}

struct Rows {  // of one head, from the row `first` on
  const float* at;
  int64_t step, first;
  const float* row(int64_t i) const { return at + (i - first) * step; }
};

struct Span {
  int64_t low, high;
  bool empty() const { return low >= high; }
};

inline void widen_to(Span& span, Span one) {
  span = {one.low < span.low ? one.low : span.low, one.high > span.high ? one.high : span.high};
}

// Which keys rows see, alone and six at a time; rows behind the last one see none.
struct RowSpans {
  struct Tile {
    Span some, all;  // the keys that some row sees, and those that every row sees
  };

  void reserve(int64_t rows) {
    own.reserve(rows + kTileRows);
    tiles.reserve(rows / kTileRows + 1);
  }

  void read(const int64_t* low, const int64_t* high, int64_t rows) {
    const int64_t count = (rows + kTileRows - 1) / kTileRows;
    own.assign(count * kTileRows, {0, 0});
    tiles.assign(count, {{INT64_MAX, 0}, {0, INT64_MAX}});
    whole = {INT64_MAX, 0};
    for (int64_t i = 0; i < count * kTileRows; ++i) {
      if (i < rows) own[i] = {low[i], high[i]};
      Tile& tile = tiles[i / kTileRows];
      if (!own[i].empty()) widen_to(tile.some, own[i]);
      tile.all.low = own[i].low > tile.all.low ? own[i].low : tile.all.low;
      tile.all.high = own[i].high < tile.all.high ? own[i].high : tile.all.high;
    }
    for (const Tile& tile : tiles)
      if (!tile.some.empty()) widen_to(whole, tile.some);
  }

  std::vector<Span> own;
  std::vector<Tile> tiles;
  Span whole;
};

inline int64_t rounded_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

// Memory for so many numbers, at the border of a cache line.
struct Free {
  static constexpr std::align_val_t kAligned{64};
  void operator()(float* x) const { ::operator delete[](x, kAligned); }
};
using Numbers = std::unique_ptr<float[], Free>;

inline Numbers numbers(int64_t count) {
  return Numbers(static_cast<float*>(::operator new[](4 * static_cast<size_t>(count), Free::kAligned)));
}

// Keys first .. first + kPanel - 1 of which those seen are read: number i of key j to [i * kPanel + j], zeros elsewhere.
inline void pack_across(Rows k, int64_t first, Span seen, int64_t d, float* to) {
  for (int64_t j = 0; j < kPanel; ++j) {
    const bool read = first + j >= seen.low && first + j < seen.high;
    for (int64_t i = 0; i < d; ++i) to[i * kPanel + j] = read ? k.row(first + j)[i] : 0.0f;
  }
}

// The rows that are seen, each with zeros up to `wide` numbers.
inline void pack(Rows x, int64_t first, Span seen, int64_t width, int64_t wide, float* to) {
  for (int64_t j = seen.low; j < seen.high; ++j)
    for (int64_t i = 0; i < wide; ++i) to[(j - first) * wide + i] = i < width ? x.row(j)[i] : 0.0f;
}

// What each thread works with, made before they start: no memory is asked for where its lack could not be told.
template <typename T, typename... Given>
std::vector<std::unique_ptr<T>> one_a_thread(int threads, Given... given) {
  std::vector<std::unique_ptr<T>> found;
  for (int i = 0; i < (threads > 1 ? threads : 1); ++i) found.push_back(std::make_unique<T>(given...));
  return found;
}

inline int this_thread() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

// Where a panel that begins at `first` meets a span, counted from its first key.
struct Part {
  Part(int64_t first, Span span)
      : from(span.low > first ? span.low - first : 0), to(span.high - first < kPanel ? span.high - first : kPanel),
        left(from / kWide * kWide), width(rounded_up(to - left, kWide)) {}
  bool empty() const { return from >= to; }
  bool within(Span span, int64_t first) const { return span.low <= first + left && span.high >= first + left + width; }

  int64_t from, to;
  int64_t left, width;  // the vectors that hold it
};

inline Rows rows_of(const Operand& x, int64_t batch, int64_t head, int64_t first) {
  return {static_cast<const float*>(x.data) + batch * x.at.batch + head * x.at.heads, x.at.length, first};
}

}  // namespace
}  // namespace paribus::kernels
