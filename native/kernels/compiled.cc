// One table of kernels; CMake compiles this file once for each kind of processor, with PARIBUS_TABLE its name.
#include "block_rows.hh"
#include "cross_entropy.hh"
#include "few_rows.hh"
#include "one_query.hh"
#include "rms_norm.hh"
#include "rotate.hh"
#include "softmax.hh"
#include "spans.hh"
#include "spans_backward.hh"
#include "table.hh"

namespace paribus::kernels {
namespace {

template <typename T>
void softmax_any(void* s, int64_t rows, int64_t n, int64_t period, float scale, int threads) {
  causal_softmax(static_cast<T*>(s), rows, n, period, scale, threads);
}
template <typename T>
void softmax_backward_any(void* g, const void* p, int64_t rows, int64_t n, int64_t period, float scale, int threads) {
  causal_softmax_backward(static_cast<T*>(g), static_cast<const T*>(p), rows, n, period, scale, threads);
}
template <typename X, typename Y>
void rms_norm_any(const void* x, const float* gain, void* y, float* inverse, int64_t rows, int64_t d, float eps,
                  int threads) {
  rms_norm(static_cast<const X*>(x), gain, static_cast<Y*>(y), inverse, rows, d, eps, threads);
}
template <typename X, typename Y>
void rms_norm_backward_any(const void* x, const float* gain, const float* inverse, const void* dy, void* dx,
                           float* gain_rows, int64_t rows, int64_t d, int64_t block, int threads) {
  rms_norm_backward(static_cast<const X*>(x), gain, inverse, static_cast<const Y*>(dy), static_cast<X*>(dx), gain_rows,
                    rows, d, block, threads);
}
template <typename T>
void rotate_any(const void* x, Layout from, void* y, Layout to, const float* cos, const float* sin, int64_t angle_batch,
                int64_t batch, int64_t heads, int64_t length, int64_t half, float sign, int threads) {
  rotate(static_cast<const T*>(x), from, static_cast<T*>(y), to, cos, sin, angle_batch, batch, heads, length, half,
         sign, threads);
}
template <typename T>
void cross_entropy_any(const void* z, const int64_t* targets, int64_t ignored, float* log_sum, float* losses,
                       int64_t rows, int64_t n, int threads) {
  cross_entropy(static_cast<const T*>(z), targets, ignored, log_sum, losses, rows, n, threads);
}
template <typename T>
void cross_entropy_backward_any(const void* z, const int64_t* targets, int64_t ignored, const float* log_sum, void* dz,
                                float factor, int64_t rows, int64_t n, int threads) {
  cross_entropy_backward(static_cast<const T*>(z), targets, ignored, log_sum, static_cast<T*>(dz), factor, rows, n,
                         threads);
}
void few_rows_half(const void* x, const void* w, void* y, int64_t rows, int64_t n_in, int64_t n_out, int threads) {
  few_rows(static_cast<const BFloat16*>(x), static_cast<const BFloat16*>(w), static_cast<BFloat16*>(y), rows, n_in, n_out, threads);
}

using F = float;
using H = BFloat16;

}  // namespace

#define PARIBUS_TEXT(name) #name
#define PARIBUS_NAME(name) PARIBUS_TEXT(name)

extern const Table PARIBUS_TABLE;
const Table PARIBUS_TABLE = {
    PARIBUS_NAME(PARIBUS_TABLE),
    {softmax_any<F>, softmax_any<H>},
    {softmax_backward_any<F>, softmax_backward_any<H>},
    {{rms_norm_any<F, F>, rms_norm_any<F, H>}, {rms_norm_any<H, F>, rms_norm_any<H, H>}},
    {{rms_norm_backward_any<F, F>, rms_norm_backward_any<F, H>},
     {rms_norm_backward_any<H, F>, rms_norm_backward_any<H, H>}},
    {rotate_any<F>, rotate_any<H>},
    {cross_entropy_any<F>, cross_entropy_any<H>},
    {cross_entropy_backward_any<F>, cross_entropy_backward_any<H>},
    {one_query<F>, one_query<H>},
    span_attention,
    span_attention_backward,
    few_rows_half,
    {block_rows<Codes4>, block_rows<Codes8>},
};

}  // namespace paribus::kernels
