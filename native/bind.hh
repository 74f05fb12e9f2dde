// What the bindings of the tokenizer share: buffers to spans, and numbers to arrays that own them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstring>
#include <vector>

#include "text.hh"

namespace paribus::python {

namespace nb = nanobind;

template <typename T>
using Out = nb::ndarray<nb::numpy, T, nb::ndim<1>, nb::c_contig>;
template <typename T>
using In = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename T>
Out<T> array(const T* data, size_t size) {
    T* copy = new T[size ? size : 1];
    if (size) std::memcpy(copy, data, size * sizeof(T));
    nb::capsule owner(copy, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Out<T>(copy, {size}, owner);
}

inline Text text_of(nb::bytes data) { return {reinterpret_cast<const uint8_t*>(data.c_str()), data.size()}; }

inline std::vector<Text> texts_of(nb::list documents) {
    std::vector<Text> texts;
    texts.reserve(documents.size());
    for (nb::handle document : documents) texts.push_back(text_of(nb::cast<nb::bytes>(document)));
    return texts;
}

// The passes of training, their model and the files of their runs.
void bind_training(nb::module_& module);

}  // namespace paribus::python
