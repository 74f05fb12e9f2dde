// Scores are kept transposed, 16 queries side by side in a vector: their maxima and sums need no step across lanes, and
// every product below finds its operands in the layout that it wants.
#include "attention.hh"

#if defined(PARIBUS_AMX)

#include <cstdlib>
#include <new>

#include "tiles.hh"

namespace paribus::kernels {
namespace {

constexpr float kLog2e = 1.44269504088896341f;

inline int64_t up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

// Scratch memory on a boundary of 64 bytes, freed at the end.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size) : data_(static_cast<T*>(std::aligned_alloc(64, up(size * sizeof(T), 64)))) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  operator T*() const { return data_; }

 private:
  T* data_;
};

inline uint16_t* head(Heads x, int64_t b, int64_t h) {
  return static_cast<uint16_t*>(x.data) + b * x.strides.batch + h * x.strides.heads;
}

struct Sizes {
  int64_t n, width, value_width;  // padded to multiples of 32
  explicit Sizes(Shape s) : n(up(s.n, 32)), width(up(s.width, 32)), value_width(up(s.value_width, 32)) {}
};

// Lanes (queries) that see key `key` of a tile on the diagonal.
inline __mmask16 seen(int64_t key) { return key < 16 ? static_cast<__mmask16>(0xffffu << key) : 0; }

void forward_of(int64_t b, int64_t group, Heads q, Heads k, Heads v, Heads out, float* log_sums, Shape s, float scale) {
  const Sizes p(s);
  const int64_t chunks = p.width / 32, value_tiles = p.value_width / 16;
  Scratch<uint16_t> keys(p.n * p.width), value_rows(p.n * p.value_width), values(p.n * p.value_width);
  Scratch<uint16_t> query_rows(16 * p.width), queries(16 * p.width), weights(p.n * 16);
  Scratch<float> scores(p.n * 16), sums(value_tiles * kSquare);
  copy_rows(head(k, b, group), k.strides.length, s.n, s.width, keys, p.n, p.width);
  copy_rows(head(v, b, group), v.strides.length, s.n, s.value_width, value_rows, p.n, p.value_width);
  for (int64_t c = 0; c < p.n / 32; ++c)
    for (int64_t d = 0; d < value_tiles; ++d)
      transposed_left_operand(value_rows + 32 * c * p.value_width + 16 * d, p.value_width,
                              values + (c * value_tiles + d) * kTile);
  const __m512 factor = _mm512_set1_ps(scale * kLog2e);
  const int64_t shared = s.heads / s.kv_heads;
  for (int64_t h = group * shared; h < (group + 1) * shared; ++h) {
    const uint16_t* from = head(q, b, h);
    uint16_t* to = head(out, b, h);
    for (int64_t t = 0; 16 * t < s.n; ++t) {
      const int64_t left = s.n - 16 * t < 16 ? s.n - 16 * t : 16;
      copy_rows(from + 16 * t * q.strides.length, q.strides.length, left, s.width, query_rows, 16, p.width);
      for (int64_t c = 0; c < chunks; ++c) transposed_operand(query_rows + 32 * c, p.width, queries + c * kTile);
      for (int64_t j = 0; j <= t; ++j) {
        TILE_ZERO(0);
        for (int64_t c = 0; c < chunks; ++c) {
          TILE_LOAD(1, keys + 16 * j * p.width + 32 * c, 2 * p.width);
          TILE_LOAD(2, queries + c * kTile, 64);
          TILE_DOT(0, 1, 2);
        }
        TILE_STORE(0, scores + j * kSquare, 64);
      }
      __m512 top = _mm512_set1_ps(-__builtin_inff());
      for (int64_t i = 0; i < 16 * t; ++i) top = _mm512_max_ps(top, _mm512_load_ps(scores + 16 * i));
      for (int64_t i = 0; i < 16; ++i)
        top = _mm512_mask_max_ps(top, seen(i), top, _mm512_load_ps(scores + (16 * t + i) * 16));
      const __m512 shift = _mm512_mul_ps(top, factor);
      __m512 total = _mm512_setzero_ps();
      // Word i of an operand B holds the weights of the keys i and i + 1 of its pair.
      const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                             21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
      for (int64_t i = 0; i < 16 * (t + 1); i += 2) {
        __m512 first = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(scores + 16 * i), factor, shift));
        __m512 second = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(scores + 16 * i + 16), factor, shift));
        if (i >= 16 * t) {
          first = _mm512_maskz_mov_ps(seen(i - 16 * t), first);
          second = _mm512_maskz_mov_ps(seen(i + 1 - 16 * t), second);
        }
        total = _mm512_add_ps(total, _mm512_add_ps(first, second));
        _mm512_store_si512(weights + 16 * i, _mm512_permutexvar_epi16(order, rounded(first, second)));
      }
      if (t % 2 == 0) std::memset(weights + 16 * 16 * (t + 1), 0, kTile);
      for (int64_t d = 0; d < value_tiles; ++d) {
        TILE_ZERO(0);
        for (int64_t c = 0; c < t / 2 + 1; ++c) {
          TILE_LOAD(1, values + (c * value_tiles + d) * kTile, 64);
          TILE_LOAD(2, weights + c * kTile, 64);
          TILE_DOT(0, 1, 2);
        }
        TILE_STORE(0, sums + d * kSquare, 64);
      }
      alignas(64) float totals[16], tops[16];
      _mm512_store_ps(totals, total);
      _mm512_store_ps(tops, shift);
      for (int64_t i = 0; i < left; ++i)
        log_sums[(b * s.heads + h) * s.n + 16 * t + i] = tops[i] + __builtin_log2f(totals[i]);
      for (int64_t d = 0; d < value_tiles; ++d) {
        __m512i r[16];
        for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(sums + d * kSquare + 16 * i);
        transpose(r);
        for (int64_t i = 0; i < left && 16 * d < s.value_width; ++i)
          put_rounded(to + (16 * t + i) * out.strides.length + 16 * d,
                      _mm512_mul_ps(_mm512_castsi512_ps(r[i]), _mm512_set1_ps(1.0f / totals[i])),
                      s.value_width - 16 * d);
      }
    }
  }
}

// C += A B of 32 x 32 numbers: A are the tiles at a and a + a_next, B those at b and b + b_next; c (32 rows, stride).
inline void add_product(const uint16_t* a, int64_t a_next, const uint16_t* b, int64_t b_next, float* c, int64_t c_down,
                        int64_t c_right, int64_t stride) {
  TILE_LOAD(4, a, 64);
  TILE_LOAD(5, a + a_next, 64);
  TILE_LOAD(6, b, 64);
  TILE_LOAD(7, b + b_next, 64);
  TILE_LOAD(0, c, stride);
  TILE_LOAD(1, c + c_right, stride);
  TILE_LOAD(2, c + c_down, stride);
  TILE_LOAD(3, c + c_down + c_right, stride);
  TILE_DOT(0, 4, 6);
  TILE_DOT(1, 4, 7);
  TILE_DOT(2, 5, 6);
  TILE_DOT(3, 5, 7);
  TILE_STORE(0, c, stride);
  TILE_STORE(1, c + c_right, stride);
  TILE_STORE(2, c + c_down, stride);
  TILE_STORE(3, c + c_down + c_right, stride);
}

// The four tiles of rows (32, padded width) times columns, which lie as `chunks` tiles for each 16 of them.
inline void products(const uint16_t* rows, int64_t width, const uint16_t* columns, float* to) {
  TILE_ZERO(0);
  TILE_ZERO(1);
  TILE_ZERO(2);
  TILE_ZERO(3);
  for (int64_t c = 0; c < width / 32; ++c) {
    TILE_LOAD(4, rows + 32 * c, 2 * width);
    TILE_LOAD(5, rows + 16 * width + 32 * c, 2 * width);
    TILE_LOAD(6, columns + c * kTile, 64);
    TILE_LOAD(7, columns + (width / 32 + c) * kTile, 64);
    TILE_DOT(0, 4, 6);
    TILE_DOT(1, 4, 7);
    TILE_DOT(2, 5, 6);
    TILE_DOT(3, 5, 7);
  }
  TILE_STORE(0, to, 64);
  TILE_STORE(1, to + kSquare, 64);
  TILE_STORE(2, to + 2 * kSquare, 64);
  TILE_STORE(3, to + 3 * kSquare, 64);
}

struct Operands {  // of one matrix (padded n, padded width)
  Scratch<uint16_t> rows, transposed, plain;
  int64_t n, width;
  Operands(int64_t n, int64_t width) : rows(n * width), transposed(n * width), plain(n * width), n(n), width(width) {}
  void fill(const uint16_t* from, int64_t stride, int64_t length, int64_t given) {
    copy_rows(from, stride, length, given, rows, n, width);
    for (int64_t t = 0; t < n / 16; ++t)
      for (int64_t c = 0; c < width / 32; ++c)
        transposed_operand(rows + 16 * t * width + 32 * c, width, transposed + (t * (width / 32) + c) * kTile);
    for (int64_t t = 0; t < n / 32; ++t)
      for (int64_t d = 0; d < width / 16; ++d)
        operand(rows + 32 * t * width + 16 * d, width, plain + (t * (width / 16) + d) * kTile);
  }
};

void put_rows(const float* from, int64_t width, uint16_t* to, int64_t stride, int64_t length, int64_t given,
              float factor) {
  const __m512 by = _mm512_set1_ps(factor);
  for (int64_t t = 0; t < length; ++t)
    for (int64_t d = 0; d < given; d += 16)
      put_rounded(to + t * stride + d, _mm512_mul_ps(_mm512_load_ps(from + t * width + d), by), given - d);
}

void backward_of(int64_t b, int64_t group, Heads q, Heads k, Heads v, Heads out, const float* log_sums, Heads d_out,
                 Heads d_q, Heads d_k, Heads d_v, Shape s, float scale) {
  const Sizes p(s);
  const int64_t tiles = p.width / 16, value_tiles = p.value_width / 16, blocks = p.n / 32;
  Scratch<uint16_t> keys(p.n * p.width), values(p.n * p.value_width), key_columns(p.n * p.width);
  Operands queries(p.n, p.width), changes(p.n, p.value_width);
  Scratch<float> key_sums(p.n * p.width), value_sums(p.n * p.value_width), query_sums(p.n * p.width);
  Scratch<float> tops(p.n), means(p.n), scores(4 * kSquare), products_with_values(4 * kSquare);
  Scratch<uint16_t> weights(2 * kTile), steps(2 * kTile), paired(2 * kTile);
  copy_rows(head(k, b, group), k.strides.length, s.n, s.width, keys, p.n, p.width);
  copy_rows(head(v, b, group), v.strides.length, s.n, s.value_width, values, p.n, p.value_width);
  for (int64_t c = 0; c < blocks; ++c)
    for (int64_t d = 0; d < tiles; ++d)
      transposed_left_operand(keys + 32 * c * p.width + 16 * d, p.width, key_columns + (c * tiles + d) * kTile);
  std::memset(key_sums, 0, sizeof(float) * p.n * p.width);
  std::memset(value_sums, 0, sizeof(float) * p.n * p.value_width);
  const __m512 factor = _mm512_set1_ps(scale * kLog2e);
  const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5,
                                       36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  const int64_t shared = s.heads / s.kv_heads;
  for (int64_t h = group * shared; h < (group + 1) * shared; ++h) {
    queries.fill(head(q, b, h), q.strides.length, s.n, s.width);
    changes.fill(head(d_out, b, h), d_out.strides.length, s.n, s.value_width);
    std::memset(query_sums, 0, sizeof(float) * p.n * p.width);
    for (int64_t t = 0; t < p.n; ++t) {
      // A query that is there for padding weighs nothing.
      tops[t] = t < s.n ? log_sums[(b * s.heads + h) * s.n + t] : __builtin_inff();
      float mean = 0.0f;
      const uint16_t* value = head(out, b, h) + t * out.strides.length;
      const uint16_t* change = changes.rows + t * p.value_width;
      for (int64_t d = 0; t < s.n && d < s.value_width; ++d)
        mean += __builtin_bit_cast(float, static_cast<uint32_t>(value[d]) << 16) *
                __builtin_bit_cast(float, static_cast<uint32_t>(change[d]) << 16);
      means[t] = mean;
    }
    for (int64_t i = 0; i < blocks; ++i) {
      for (int64_t j = i; j < blocks; ++j) {
        products(keys + 32 * i * p.width, p.width, queries.transposed + 32 * j * p.width, scores);
        products(values + 32 * i * p.value_width, p.value_width, changes.transposed + 32 * j * p.value_width,
                 products_with_values);
        const __m512 top0 = _mm512_load_ps(tops + 32 * j), top1 = _mm512_load_ps(tops + 32 * j + 16);
        const __m512 mean0 = _mm512_load_ps(means + 32 * j), mean1 = _mm512_load_ps(means + 32 * j + 16);
        for (int64_t r = 0; r < 32; ++r) {
          const int64_t at = r / 16 * 2 * kSquare + r % 16 * 16;
          __m512 p0 = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(scores + at), factor, top0));
          __m512 p1 = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(scores + at + kSquare), factor, top1));
          if (i == j) {
            p0 = _mm512_maskz_mov_ps(seen(r), p0);
            p1 = _mm512_maskz_mov_ps(r < 16 ? static_cast<__mmask16>(0xffff) : seen(r - 16), p1);
          }
          const __m512 g0 = _mm512_load_ps(products_with_values + at);
          const __m512 g1 = _mm512_load_ps(products_with_values + at + kSquare);
          _mm512_store_si512(weights + 32 * r, rounded(p0, p1));
          _mm512_store_si512(steps + 32 * r, rounded(_mm512_mul_ps(p0, _mm512_sub_ps(g0, mean0)),
                                                     _mm512_mul_ps(p1, _mm512_sub_ps(g1, mean1))));
        }
        for (int64_t r = 0; r < 16; ++r) {
          const __m512i first = _mm512_load_si512(steps + 64 * r), second = _mm512_load_si512(steps + 64 * r + 32);
          _mm512_store_si512(paired + 32 * r, _mm512_permutex2var_epi16(first, low, second));
          _mm512_store_si512(paired + kTile + 32 * r, _mm512_permutex2var_epi16(first, high, second));
        }
        for (int64_t d = 0; d < value_tiles; d += 2)
          add_product(weights, kTile, changes.plain + (j * value_tiles + d) * kTile, kTile,
                      value_sums + 32 * i * p.value_width + 16 * d, 16 * p.value_width, 16, 4 * p.value_width);
        for (int64_t d = 0; d < tiles; d += 2) {
          add_product(steps, kTile, queries.plain + (j * tiles + d) * kTile, kTile,
                      key_sums + 32 * i * p.width + 16 * d, 16 * p.width, 16, 4 * p.width);
          // Transposed: tile (d, t) of d_q lies at (t * tiles + d).
          add_product(key_columns + (i * tiles + d) * kTile, kTile, paired, kTile,
                      query_sums + (2 * j * tiles + d) * kSquare, kSquare, tiles * kSquare, 64);
        }
      }
    }
    uint16_t* to = head(d_q, b, h);
    const __m512 by = _mm512_set1_ps(scale);
    for (int64_t t = 0; 16 * t < s.n; ++t) {
      for (int64_t d = 0; 16 * d < s.width; ++d) {
        __m512i r[16];
        for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(query_sums + (t * tiles + d) * kSquare + 16 * i);
        transpose(r);
        for (int64_t i = 0; i < 16 && 16 * t + i < s.n; ++i)
          put_rounded(to + (16 * t + i) * d_q.strides.length + 16 * d, _mm512_mul_ps(_mm512_castsi512_ps(r[i]), by),
                      s.width - 16 * d);
      }
    }
  }
  put_rows(key_sums, p.width, head(d_k, b, group), d_k.strides.length, s.n, s.width, scale);
  put_rows(value_sums, p.value_width, head(d_v, b, group), d_v.strides.length, s.n, s.value_width, 1.0f);
}

}  // namespace

void attention(Heads q, Heads k, Heads v, Heads out, float* log_sums, Shape s, float scale, int threads) {
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const Tiles tiles;
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t group = 0; group < s.kv_heads; ++group) forward_of(b, group, q, k, v, out, log_sums, s, scale);
  }
}

void attention_backward(Heads q, Heads k, Heads v, Heads out, const float* log_sums, Heads d_out, Heads d_q, Heads d_k,
                        Heads d_v, Shape s, float scale, int threads) {
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const Tiles tiles;
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t group = 0; group < s.kv_heads; ++group)
        backward_of(b, group, q, k, v, out, log_sums, d_out, d_q, d_k, d_v, s, scale);
  }
}

}  // namespace paribus::kernels

#else

namespace paribus::kernels {

void attention(Heads, Heads, Heads, Heads, float*, Shape, float, int) { __builtin_abort(); }

void attention_backward(Heads, Heads, Heads, Heads, const float*, Heads, Heads, Heads, Heads, Shape, float, int) {
  __builtin_abort();
}

}  // namespace paribus::kernels

#endif
