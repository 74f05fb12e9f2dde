// Tokens to bytes: the pieces one after the other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model.hh"

namespace paribus {

// Bytes that the tokens stand for. Throws std::out_of_range naming the first token that is not in the vocabulary.
size_t decoded_size(const Model& model, const uint32_t* tokens, size_t n);

// Write exactly `size` = decoded_size(...) bytes.
void decode(const Model& model, const uint32_t* tokens, size_t n, char* out, size_t size);

}  // namespace paribus
