// FNV-1a over 64-bit words: the checksum of model and count files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paribus {

// Detects damage, not malice. Continue over several buffers by passing the previous value; only the last buffer
// of a sequence may have a length that is not a multiple of 8.
uint64_t checksum(const void* data, size_t size, uint64_t state = 0xcbf29ce484222325ull);

}  // namespace paribus
