// Where a text is cut before anything else: a chunk is a run without newlines and the newlines that follow it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace paribus {

// End of the chunk that starts at `begin`; no piece reaches from one chunk into the next.
inline size_t chunk_end(const uint8_t* text, size_t begin, size_t size) {
    const void* newline = std::memchr(text + begin, '\n', size - begin);
    if (!newline) return size;
    size_t end = static_cast<size_t>(static_cast<const uint8_t*>(newline) - text) + 1;
    while (end < size && text[end] == '\n') ++end;
    return end;
}

}  // namespace paribus
