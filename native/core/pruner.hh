// From counted pieces to vocabularies of the sizes asked for, each of whose pieces encodes to itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "piece_counts.hh"

namespace paribus {

using Counted = std::vector<std::pair<std::string, uint64_t>>;

struct PruneOptions {
    uint64_t min_count = 32;
    size_t max_piece_length = 36;
    size_t n_special = 3;  // tokens of each size that are not pieces
    size_t threads = 1;
    size_t memory = SIZE_MAX;  // bytes at the most; pieces that are kept need about 150, and 8 for each thread
};

// `pieces` gives all counted pieces in byte order and is called twice. One vocabulary for each size, from the largest
// to the smallest, each cut from the one before, sorted by (length, bytes). Throws MemoryError when the pieces that come
// often enough do not fit the memory.
std::vector<Counted> prune(const std::function<void(const PieceSink&)>& pieces, std::vector<size_t> sizes,
                           const PruneOptions& options);

}  // namespace paribus
