#include "decode.hh"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace paribus {
namespace {

constexpr size_t kStep = 256;   // tokens between two looks at the room that is left
constexpr size_t kCopied = 16;  // bytes moved at a time; nearly every piece is shorter

}  // namespace

size_t decode(const Model& model, const uint32_t* tokens, size_t n, std::vector<char>& out) {
    const uint32_t n_tokens = model.n_tokens();
    const uint32_t* const offsets = model.offsets();
    const char* const pieces = model.pieces();
    const size_t room = kStep * std::max<size_t>(model.max_length(), 1) + kCopied;
    size_t at = 0;
    for (size_t begin = 0; begin < n; begin += kStep) {
        if (out.size() < at + room) out.resize(std::max(at + room, 2 * out.size()));
        char* write = out.data() + at;
        for (size_t i = begin; i < std::min(n, begin + kStep); ++i) {
            const uint32_t id = tokens[i];
            if (id >= n_tokens) {
                throw std::out_of_range("token " + std::to_string(id) + " at position " + std::to_string(i) +
                                        " is not in the vocabulary of " + std::to_string(n_tokens));
            }
            const uint32_t start = offsets[id];
            const size_t length = offsets[id + 1] - start;
            std::memcpy(write, pieces + start, kCopied);
            if (length > kCopied) [[unlikely]] std::memcpy(write + kCopied, pieces + start + kCopied, length - kCopied);
            write += length;
        }
        at = static_cast<size_t>(write - out.data());
    }
    return at;
}

}  // namespace paribus
