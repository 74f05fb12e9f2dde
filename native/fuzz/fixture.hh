// The model that the fuzzers of encoding and decoding use: the file named by PARIBUS_MODEL.
#pragma once

#include <cstdlib>
#include <memory>

#include "model.hh"

inline std::shared_ptr<const paribus::Model> fixture_model() {
    const char* path = std::getenv("PARIBUS_MODEL");
    if (!path) std::abort();
    return paribus::Model::map(path);
}
