#include "automaton.hh"

#include <algorithm>
#include <bitset>
#include <stdexcept>


namespace paribus {

namespace {

struct Match {
    double score;
    uint32_t code;
    int16_t back;
};

void read_list(const Group* group, std::vector<Match>& list) {
    for (;; ++group) {
        for (unsigned k = 0; k < 4; ++k) {
            if (group->scores[k] != kNothing) list.push_back({group->scores[k], group->codes[k], group->back[k]});
        }
        if (!group->more) return;
    }
}

void write_list(const std::vector<Match>& list, std::vector<Group>& groups) {
    if (groups.size() > 0x7fffffffu) throw std::length_error("the vocabulary has too many nested pieces");
    for (size_t begin = 0; begin < list.size(); begin += 4) {
        Group group{};
        for (size_t k = 0; k < 4; ++k) {
            const bool real = begin + k < list.size();
            group.scores[k] = real ? list[begin + k].score : kNothing;
            group.codes[k] = real ? list[begin + k].code : 0;
            group.back[k] = real ? list[begin + k].back : int16_t{-1};
        }
        group.more = begin + 4 < list.size();
        groups.push_back(group);
    }
}

}  // namespace

Automaton build_automaton(const std::vector<std::string_view>& pieces, const std::vector<uint32_t>& ids,
                          const std::vector<double>& scores) {
    const DoubleArray trie = build_double_array(pieces);
    const size_t size = trie.base.size();
    Automaton result;
    result.nodes.assign(size, Node{0, kNone, 0, 0});
    result.depths.assign(size, 0xffff);
    result.depths[0] = 0;
    result.nodes[0].base = trie.base[0];
    std::vector<uint32_t> suffix(size, 0);  // the longest proper suffix that is a node
    std::vector<std::bitset<256>> children(size);
    for (size_t k = 1; k < trie.order.size(); ++k) {
        const uint32_t node = trie.order[k];
        children[trie.check[node]].set(node ^ trie.base[trie.check[node]]);
    }
    std::vector<Match> list{{kNothing, 0, -1}};
    write_list(list, result.groups);
    for (size_t k = 1; k < trie.order.size(); ++k) {  // by depth, so that every suffix is ready
        const uint32_t node = trie.order[k];
        const uint32_t parent = trie.check[node];
        const uint32_t byte = node ^ trie.base[parent];
        const uint32_t depth = result.depths[parent] + 1u;
        if (depth > 0x7fff) throw std::length_error("a piece is longer than 32767 bytes");
        result.depths[node] = static_cast<uint16_t>(depth);
        if (parent != 0) {
            for (uint32_t state = suffix[parent];; state = suffix[state]) {
                if (children[state][byte]) {
                    suffix[node] = trie.base[state] ^ byte;
                    break;
                }
                if (state == 0) break;
            }
        }
        const uint32_t shorter = suffix[node];
        Node& own = result.nodes[node];
        own.check = trie.base[parent];
        if (children[node].none()) {
            own.base = result.nodes[shorter].base;
            own.fail = result.nodes[shorter].fail;
        } else {
            own.base = trie.base[node];
            own.fail = shorter;
            while (own.fail != 0 && (children[own.fail] & ~children[node]).none()) own.fail = suffix[own.fail];
        }

        const uint32_t key = trie.value[node];
        if (key == kNone || depth == 1) {
            own.out = result.nodes[shorter].out;
            continue;
        }
        list.clear();
        list.push_back({scores[key], ids[key] | std::min(depth, kLongLength) << kIdBits, static_cast<int16_t>(-static_cast<int>(depth))});
        read_list(result.groups.data() + result.nodes[shorter].out, list);
        own.out = static_cast<uint32_t>(result.groups.size());
        write_list(list, result.groups);
    }
    for (Node& node : result.nodes) {
        node.base <<= kNodeBits;
        node.fail <<= kNodeBits;
        if (node.check != kNone) node.check <<= kNodeBits;
    }
    return result;
}

}  // namespace paribus
