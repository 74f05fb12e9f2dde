// A stretch of bytes that somebody else owns, and how documents are shared among threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace paribus {

struct Text {
    const uint8_t* data;
    size_t size;
};

// The same texts in parts of about `size` bytes, cut only where a line begins after another: always an end of a chunk.
inline std::vector<Text> in_parts(const std::vector<Text>& texts, size_t size) {
    std::vector<Text> parts;
    for (Text text : texts) {
        while (text.size > size) {
            size_t end = size;
            while (end < text.size && !(text.data[end - 1] == '\n' && text.data[end] != '\n')) {
                const void* newline = std::memchr(text.data + end, '\n', text.size - end);
                end = newline ? static_cast<size_t>(static_cast<const uint8_t*>(newline) - text.data) + 1 : text.size;
            }
            parts.push_back({text.data, end});
            text.data += end;
            text.size -= end;
        }
        if (text.size) parts.push_back(text);
    }
    return parts;
}

}  // namespace paribus
