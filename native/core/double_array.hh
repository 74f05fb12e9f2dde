// A double-array trie over byte strings: the child of node s by byte b is base[s] ^ b, if its check is s.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace paribus {

constexpr uint32_t kNone = 0xffffffffu;

struct DoubleArray {
    std::vector<uint32_t> base;   // multiple of 256 nodes, so that base ^ b is always inside; 0 for a leaf, else its own
    std::vector<uint32_t> check;  // parent, or kNone for a free slot and for the root (node 0)
    std::vector<uint32_t> value;  // index of the key that ends here, or kNone
    std::vector<uint32_t> order;  // nodes by depth, the root first
};

// Keys: sorted, distinct, not empty. Linear in their total length for the vocabularies met here (a node tries a
// bounded number of places). reach: blocks of 256, from the last one back, that any node may search: with all of them the
// array is the densest, but where many holes fit nothing the search grows with the array. Throws std::length_error
// beyond 2^28 nodes.
DoubleArray build_double_array(const std::vector<std::string_view>& keys, size_t reach = SIZE_MAX);

}  // namespace paribus
