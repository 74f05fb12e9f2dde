// Random numbers that are a function of where they are used: the same under any number of threads.
#pragma once

#include <cstdint>

namespace paribus {

// The finaliser of splitmix64 (Steele, Lea, Flood 2014).
inline uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// Key of one document: hashed once, then one mix for each position.
inline uint64_t document_key(uint64_t seed, uint64_t document) { return mix(mix(seed) ^ document); }

// Uniform on [0, 1), a multiple of 2^-53.
inline double uniform(uint64_t key, uint64_t position) {
    return static_cast<double>(mix(key ^ position) >> 11) * 0x1.0p-53;
}

}  // namespace paribus
