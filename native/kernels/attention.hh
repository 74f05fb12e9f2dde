// Causal softmax attention of 16-bit heads in blocks that stay in the processor's cache, on matrix units (AMX).
//
//   S = c Q K^T,  P = softmax over the keys that a query sees,  O = P V
//
// Sums are taken in float32; P and dS are rounded to 16 bits as operands of the next product.
#pragma once

#include "table.hh"

namespace paribus::kernels {

struct Heads {  // bfloat16 (batch, heads, n, width); a row of `width` numbers is contiguous
  void* data;
  Layout strides;
};

struct Shape {
  int64_t batch, heads, kv_heads, n, width, value_width;  // kv_heads divides heads
};

// True where the processor has the units and the system lets this process use them.
bool attention_available();

// log_sums (batch, heads, n) receives log2 sum exp of each row of S.
void attention(Heads q, Heads k, Heads v, Heads out, float* log_sums, Shape shape, float scale, int threads);

void attention_backward(Heads q, Heads k, Heads v, Heads out, const float* log_sums, Heads d_out, Heads d_q, Heads d_k,
                        Heads d_v, Shape shape, float scale, int threads);

}  // namespace paribus::kernels
