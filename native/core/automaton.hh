// Aho-Corasick over a double array, with the longer pieces that end in a state written out, the longest first.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "double_array.hh"

namespace paribus {

// Offsets are in bytes, 16 times the index. A node without children takes base and fail of its suffix, since the next
// byte would lead there anyway.
struct Node {
    uint32_t base;   // children at base ^ (byte << 4)
    uint32_t check;  // base of the parent
    uint32_t fail;   // the longest proper suffix that has a child which this node has not
    uint32_t out;    // first group of the pieces that end here
};
constexpr unsigned kNodeBits = 4;
static_assert(sizeof(Node) == 1 << kNodeBits);

// Four pieces of two bytes and more in one cache line, to be tried without a branch. Places left over score minus
// infinity. Group 0 is empty, for states in which only a single byte ends.
struct alignas(64) Group {
    double scores[4];     // ln p(piece)
    uint32_t codes[4];    // id, and in the top byte the length in bytes, 255 standing for that and more
    int16_t back[4];      // minus the length in bytes; -1 in places left over
    uint32_t more;        // 1 if the list goes on in the next group
    uint32_t reserved;
};
static_assert(sizeof(Group) == 64);

constexpr double kNothing = -std::numeric_limits<double>::infinity();
constexpr unsigned kIdBits = 24;
constexpr uint32_t kIdMask = (1u << kIdBits) - 1;
constexpr uint32_t kLongLength = 255;

struct Automaton {
    std::vector<Node> nodes;
    std::vector<Group> groups;
    std::vector<uint16_t> depths;  // of nodes, 0xffff for free slots: proof at load that every fail chain ends
};

// Pieces sorted by bytes, with all 256 single bytes among them; ids below 2^24.
Automaton build_automaton(const std::vector<std::string_view>& pieces, const std::vector<uint32_t>& ids,
                          const std::vector<double>& scores);

}  // namespace paribus
