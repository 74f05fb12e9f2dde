// Addresses in, nothing out: paribus/ops/kernels.py owns every check of types, shapes and memory.
#include <nanobind/nanobind.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <vector>

#include "kernels/attention.hh"
#include "kernels/table.hh"

namespace nb = nanobind;
using namespace paribus::kernels;

namespace {

using Address = uintptr_t;
using Axes = std::tuple<int64_t, int64_t, int64_t>;

template <typename T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

Layout layout(Axes axes) { return {std::get<0>(axes), std::get<1>(axes), std::get<2>(axes)}; }

// Address and strides of one array of heads.
using Array = std::tuple<Address, int64_t, int64_t, int64_t>;

Heads heads(Array x) {
  return {at<void>(std::get<0>(x)), {std::get<1>(x), std::get<2>(x), std::get<3>(x)}};
}

// Queries, keys and values of one run, and how many keys it has.
using Stretch = std::tuple<Array, Array, Array, int64_t>;

Operand operand(Array x) {
  return {at<void>(std::get<0>(x)), {std::get<1>(x), std::get<2>(x), std::get<3>(x)}};
}

// Queries and keys of one run, where they begin, and the first and last keys of every query.
using Span = std::tuple<Array, Array, int64_t, int64_t, Address, Address>;

SpanRun span_run(const Span& span) {
  const auto& [q, k, row, key, low, high] = span;
  return {operand(q), operand(k), row, key, at<int64_t>(low), at<int64_t>(high)};
}

using Sizes = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>;

using Dimensions = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t>;

Shape shape(Dimensions x) {
  return {std::get<0>(x), std::get<1>(x), std::get<2>(x), std::get<3>(x), std::get<4>(x), std::get<5>(x)};
}

SpanShape span_shape(Dimensions x, float scale) {
  const auto [batch, heads, shared, rows, d, e] = x;
  return {batch, heads, shared, rows, d, e, scale};
}

}  // namespace

NB_MODULE(_kernels, m) {
  const Table& use = table();
  m.attr("compiled_for") = use.name;
  m.def("causal_softmax",
        [&use](bool half, Address s, int64_t rows, int64_t n, int64_t period, float scale, int threads) {
          use.causal_softmax[half](at<void>(s), rows, n, period, scale, threads);
        });
  m.def("causal_softmax_backward",
        [&use](bool half, Address g, Address p, int64_t rows, int64_t n, int64_t period, float scale, int threads) {
          use.causal_softmax_backward[half](at<void>(g), at<void>(p), rows, n, period, scale, threads);
        });
  m.def("rms_norm", [&use](bool half_in, bool half_out, Address x, Address gain, Address y, Address inverse,
                           int64_t rows, int64_t d, float eps, int threads) {
    use.rms_norm[half_in][half_out](at<void>(x), at<float>(gain), at<void>(y), at<float>(inverse), rows, d, eps,
                                    threads);
  });
  m.def("rms_norm_backward",
        [&use](bool half_in, bool half_out, Address x, Address gain, Address inverse, Address dy, Address dx,
               Address gain_rows, int64_t rows, int64_t d, int64_t block, int threads) {
          use.rms_norm_backward[half_in][half_out](at<void>(x), at<float>(gain), at<float>(inverse), at<void>(dy),
                                                   at<void>(dx), at<float>(gain_rows), rows, d, block, threads);
        });
  m.def("rotate",
        [&use](bool half, Address x, Axes from, Address y, Axes to, Address cos, Address sin, int64_t angle_batch,
               int64_t batch, int64_t heads, int64_t length, int64_t pairs, float sign, int threads) {
          use.rotate[half](at<void>(x), layout(from), at<void>(y), layout(to), at<float>(cos), at<float>(sin),
                           angle_batch, batch, heads, length, pairs, sign, threads);
        });
  m.def("cross_entropy", [&use](bool half, Address z, Address targets, int64_t ignored, Address log_sum, Address losses,
                                int64_t rows, int64_t n, int threads) {
    use.cross_entropy[half](at<void>(z), at<int64_t>(targets), ignored, at<float>(log_sum), at<float>(losses), rows, n,
                            threads);
  });
  m.def("cross_entropy_backward",
        [&use](bool half, Address z, Address targets, int64_t ignored, Address log_sum, Address dz, float factor,
               int64_t rows, int64_t n, int threads) {
          use.cross_entropy_backward[half](at<void>(z), at<int64_t>(targets), ignored, at<float>(log_sum),
                                           at<void>(dz), factor, rows, n, threads);
        });
  m.def("one_query", [&use](bool half, std::vector<Stretch> stretches, Sizes sizes, Address seen, int64_t seen_batch,
                            float scale, Address out, int threads) {
    std::vector<Run> runs;
    for (const auto& [q, k, v, count] : stretches) runs.push_back({operand(q), operand(k), operand(v), count});
    const auto [batch, groups, shared, d, e] = sizes;
    const OneQuery shape{batch, groups, shared, d, e, at<bool>(seen), seen_batch, scale};
    use.one_query[half](runs.data(), static_cast<int64_t>(runs.size()), shape, at<void>(out), threads);
  });
  m.def("span_attention", [&use](std::vector<Span> spans, Array v, Dimensions sizes, float scale, Address out,
                                 Address log_sums, int threads) {
    std::vector<SpanRun> runs;
    for (const Span& span : spans) runs.push_back(span_run(span));
    const SpanShape shape = span_shape(sizes, scale);
    use.span_attention(runs.data(), static_cast<int64_t>(runs.size()), operand(v), shape, at<float>(out),
                       at<float>(log_sums), threads);
  });
  m.def("span_attention_backward",
        [&use](Span span, Array v, Array gradient, Address out, Address log_sums, Dimensions sizes, Axes lengths,
               float scale, Address dq, Address dk, Address dv, int threads) {
          const auto [rows, keys, all_keys] = lengths;
          use.span_attention_backward(span_run(span), operand(v), operand(gradient), at<float>(out),
                                      at<float>(log_sums), span_shape(sizes, scale), {rows, keys, all_keys},
                                      at<float>(dq), at<float>(dk), at<float>(dv), threads);
        });
  m.def("few_rows",
        [&use](Address x, Address w, Address y, int64_t rows, int64_t n_in, int64_t n_out, int threads) {
          use.few_rows(at<void>(x), at<void>(w), at<void>(y), rows, n_in, n_out, threads);
        });
  m.def("block_rows",
        [&use](bool bytes, Address x, Address w, Address y, int64_t rows, int64_t n_in, int64_t n_out, int threads) {
          use.block_rows[bytes](at<float>(x), at<uint8_t>(w), at<float>(y), rows, n_in, n_out, threads);
        });
  m.def("attention_available", attention_available);
  m.def("attention", [](Array q, Array k, Array v, Array out, Address log_sums, Dimensions sizes, float scale,
                        int threads) {
    attention(heads(q), heads(k), heads(v), heads(out), at<float>(log_sums), shape(sizes), scale, threads);
  });
  m.def("attention_backward",
        [](Array q, Array k, Array v, Array out, Address log_sums, Array d_out, Array d_q, Array d_k, Array d_v,
           Dimensions sizes, float scale, int threads) {
          attention_backward(heads(q), heads(k), heads(v), heads(out), at<float>(log_sums), heads(d_out), heads(d_q),
                             heads(d_k), heads(d_v), shape(sizes), scale, threads);
        });
}
