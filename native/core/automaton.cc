#include "automaton.hh"

#include <algorithm>
#include <stdexcept>


namespace paribus {

Automaton build_automaton(const std::vector<std::string_view>& pieces, const std::vector<uint32_t>& ids,
                          const std::vector<double>& scores) {
    const DoubleArray trie = build_double_array(pieces);
    const size_t size = trie.base.size();
    Automaton result;
    result.nodes.assign(size, Node{0, kNone, 0, 0});
    result.depths.assign(size, 0xffff);
    for (size_t i = 0; i < size; ++i) result.nodes[i] = {trie.base[i], trie.check[i], 0, 0};
    result.depths[0] = 0;

    for (size_t k = 1; k < trie.order.size(); ++k) {  // by depth, so that every suffix is ready
        const uint32_t node = trie.order[k];
        const uint32_t parent = trie.check[node];
        const uint32_t byte = node ^ trie.base[parent];
        const uint32_t depth = result.depths[parent] + 1u;
        if (depth >= 0xffff) throw std::length_error("a piece is longer than 65534 bytes");
        result.depths[node] = static_cast<uint16_t>(depth);
        uint32_t fail = 0;
        if (parent != 0) {
            uint32_t state = result.nodes[parent].fail;
            while (true) {
                const uint32_t child = trie.base[state] ^ byte;
                if (trie.check[child] == state) {
                    fail = child;
                    break;
                }
                if (state == 0) break;
                state = result.nodes[state].fail;
            }
        }
        result.nodes[node].fail = fail;

        const uint32_t key = trie.value[node];
        if (key == kNone) {
            result.nodes[node].out = result.nodes[fail].out;
            continue;
        }
        const bool last = depth == 1;
        const uint32_t start = static_cast<uint32_t>(result.matches.size());
        if (result.matches.size() > 0x7fffffffu) throw std::length_error("the vocabulary has too many nested pieces");
        result.nodes[node].out = start;
        result.matches.push_back({scores[key], ids[key], depth | (last ? kLast : 0)});
        if (!last) {
            for (uint32_t from = result.nodes[fail].out;; ++from) {
                const Match match = result.matches[from];
                result.matches.push_back(match);
                if (match.length & kLast) break;
            }
        }
    }
    return result;
}

}  // namespace paribus
