// The kernels, compiled once for each kind of x86 processor and once for all others; `table` picks at run time.
//
// The suffixes name the types: f is float, h is bfloat16; of rms_norm the input and the output.
#pragma once

#include <cstdint>

namespace paribus::kernels {

struct Layout {  // strides in elements of the axes batch, heads, length
  int64_t batch, heads, length;
};

struct Operand {  // rows of contiguous numbers
  const void* data;
  Layout at;
};

struct Run {  // `count` keys and values that lie one after the other, and the queries as they meet these keys
  Operand q, k, v;
  int64_t count;
};

struct OneQuery {
  int64_t batch, groups, shared;  // `shared` query heads read one head of keys
  int64_t d, e;                   // widths of a key and of a value
  const bool* seen;               // which keys of all runs are seen; null: all
  int64_t seen_batch;             // its stride, 0 where it holds for all sequences
  float scale;
};

struct SpanRun {  // the query of row i meets the keys low[i] .. high[i] - 1 of this run by these vectors
  Operand q, k;
  int64_t first_row, first_key;  // where q and k begin
  const int64_t *low, *high;     // of every row
};

struct SpanShape {
  int64_t batch, heads, shared;  // `shared` query heads read one head of keys
  int64_t rows, d, e;            // queries, and the widths of a key and of a value
  float scale;
};

struct SpanLengths {
  int64_t rows, keys;  // of one run
  int64_t all_keys;
};

struct Table {
  const char* name;
  void (*causal_softmax[2])(void*, int64_t, int64_t, int64_t, float, int);
  void (*causal_softmax_backward[2])(void*, const void*, int64_t, int64_t, int64_t, float, int);
  void (*rms_norm[2][2])(const void*, const float*, void*, float*, int64_t, int64_t, float, int);
  void (*rms_norm_backward[2][2])(const void*, const float*, const float*, const void*, void*, float*, int64_t, int64_t,
                                  int64_t, int);
  void (*rotate[2])(const void*, Layout, void*, Layout, const float*, const float*, int64_t, int64_t, int64_t, int64_t,
                    int64_t, float, int);
  void (*cross_entropy[2])(const void*, const int64_t*, int64_t, float*, float*, int64_t, int64_t, int);
  void (*cross_entropy_backward[2])(const void*, const int64_t*, int64_t, const float*, void*, float, int64_t, int64_t,
                                    int);
  void (*one_query[2])(const Run*, int64_t, const OneQuery&, void*, int);
  void (*span_attention)(const SpanRun*, int64_t, Operand, const SpanShape&, float*, float*, int);
  void (*span_attention_backward)(const SpanRun&, Operand, Operand, const float*, const float*, const SpanShape&,
                                  SpanLengths, float*, float*, float*, int);
  void (*few_rows)(const void*, const void*, void*, int64_t, int64_t, int64_t, int);
  void (*block_rows[2])(const float*, const uint8_t*, float*, int64_t, int64_t, int64_t, int);
};

const Table& table();

}  // namespace paribus::kernels
