// Aho-Corasick over a double array, with the pieces that end in a state written out, the longest first.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "double_array.hh"

namespace paribus {

struct Node {
    uint32_t base;   // children at base ^ byte
    uint32_t check;  // parent
    uint32_t fail;   // the longest proper suffix that is a node
    uint32_t out;    // first of the pieces that end here
};

struct Match {
    double score;     // ln p(piece)
    uint32_t id;
    uint32_t length;  // bytes; the top bit is set on the last (the single byte)
};

constexpr uint32_t kLast = 0x80000000u;

struct Automaton {
    std::vector<Node> nodes;
    std::vector<Match> matches;
    std::vector<uint16_t> depths;  // of nodes, 0xffff for free slots: proof at load that every fail chain ends
};

// Pieces sorted by bytes, with all 256 single bytes among them.
Automaton build_automaton(const std::vector<std::string_view>& pieces, const std::vector<uint32_t>& ids,
                          const std::vector<double>& scores);

}  // namespace paribus
