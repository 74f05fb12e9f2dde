// The only file that knows Python: it turns buffers into spans and releases the interpreter around the core.
#include <nanobind/nanobind.h>

#include "checksum.hh"

namespace nb = nanobind;

NB_MODULE(_native, module) {
    module.doc() = "BytePiece's C++ core: see paribus.tokenizer for the public names.";
    module.def("checksum", [](nb::bytes data) { return paribus::checksum(data.c_str(), data.size()); }, nb::arg("data"));
}
