// Tokens to bytes: the pieces one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model.hh"

namespace paribus {

// The bytes that the tokens stand for are written to out from its beginning, which grows as needed; returns their
// number. Throws std::out_of_range naming the first token that is not in the vocabulary.
size_t decode(const Model& model, const uint32_t* tokens, size_t n, std::vector<char>& out);

}  // namespace paribus
