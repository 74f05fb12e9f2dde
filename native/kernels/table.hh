// The kernels, compiled once for each kind of x86 processor and once for all others; `table` picks at run time.
//
// The suffixes name the types: f is float, h is bfloat16; of rms_norm the input and the output.
#pragma once

#include <cstdint>

namespace paribus::kernels {

struct Layout {  // strides in elements of the axes batch, heads, length
  int64_t batch, heads, length;
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
  void (*few_rows)(const void*, const void*, void*, int64_t, int64_t, int64_t, int);
  void (*block_rows[2])(const float*, const uint8_t*, float*, int64_t, int64_t, int64_t, int);
};

const Table& table();

}  // namespace paribus::kernels
