#include "decode.hh"

#include <cstring>
#include <stdexcept>
#include <string>

namespace paribus {

size_t decoded_size(const Model& model, const uint32_t* tokens, size_t n) {
    const uint32_t n_tokens = model.n_tokens();
    const uint32_t* const offsets = model.offsets();
    size_t size = 0;
    for (size_t i = 0; i < n; ++i) {
        const uint32_t id = tokens[i];
        if (id >= n_tokens) {
            throw std::out_of_range("token " + std::to_string(id) + " at position " + std::to_string(i) +
                                    " is not in the vocabulary of " + std::to_string(n_tokens));
        }
        size += offsets[id + 1] - offsets[id];
    }
    return size;
}

void decode(const Model& model, const uint32_t* tokens, size_t n, char* out, size_t size) {
    const uint32_t* const offsets = model.offsets();
    const char* const pieces = model.pieces();
    char* const end = out + size;
    size_t i = 0;
    // Almost every piece is at most 16 bytes long: copy 16 and step by its length.
    for (; i < n && end - out >= 16; ++i) {
        const uint32_t start = offsets[tokens[i]];
        const size_t length = offsets[tokens[i] + 1] - start;
        if (length <= 16) {
            std::memcpy(out, pieces + start, 16);
        } else {
            std::memcpy(out, pieces + start, length);
        }
        out += length;
    }
    for (; i < n; ++i) {
        const uint32_t start = offsets[tokens[i]];
        const size_t length = offsets[tokens[i] + 1] - start;
        if (length) std::memcpy(out, pieces + start, length);
        out += length;
    }
}

}  // namespace paribus
