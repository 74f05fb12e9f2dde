#include "checksum.hh"

#include <cstring>

namespace paribus {

uint64_t checksum(const void* data, size_t size, uint64_t state) {
    const auto* bytes = static_cast<const unsigned char*>(data);
    constexpr uint64_t prime = 0x100000001b3ull;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        std::memcpy(&word, bytes + i, 8);
        state = (state ^ word) * prime;
        state ^= state >> 29;
    }
    for (; i < size; ++i) state = (state ^ bytes[i]) * prime;
    return state;
}

}  // namespace paribus
