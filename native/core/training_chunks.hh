// Chunks as training cuts them: shorter than encoding's, so that a worker holds little at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "digits.hh"

namespace paribus {

constexpr size_t kChunkCharacters = 10000;
constexpr size_t kChunkNewlines = 100;
constexpr size_t kChunkBytes = 4 * kChunkCharacters;  // binary data without a character in it is cut here

inline bool is_continuation(uint8_t byte) { return (byte & 0xc0) == 0x80; }

// End of the chunk at `begin`: at most 10 000 characters, then at most 100 newlines; digits alone when isolated.
inline size_t training_chunk_end(const uint8_t* text, size_t begin, size_t size, bool isolate_digits) {
    if (isolate_digits) {
        const size_t digit = digit_at(text + begin, size - begin);
        if (digit) return begin + digit;
    }
    size_t end = begin;
    size_t characters = 0;
    while (end < size && text[end] != '\n' && end - begin < kChunkBytes) {
        if (isolate_digits && digit_at(text + end, size - end)) break;
        if (!is_continuation(text[end])) {
            if (characters == kChunkCharacters) break;
            ++characters;
        }
        ++end;
    }
    for (size_t newlines = 0; end < size && text[end] == '\n' && newlines < kChunkNewlines; ++newlines) ++end;
    return end;
}

}  // namespace paribus
