#include "scan.hh"

namespace paribus {
namespace {

constexpr size_t kLanes = 4;

inline const Node& node_at(const Node* nodes, uint32_t offset) {
    return *reinterpret_cast<const Node*>(reinterpret_cast<const char*>(nodes) + offset);
}

uint32_t scan_plain(const Node* nodes, const uint8_t* text, size_t size, uint32_t state, uint32_t* groups) {
    for (size_t i = 0; i < size; ++i) {
        const uint32_t byte = uint32_t{text[i]} << kNodeBits;
        uint32_t next = node_at(nodes, state).base ^ byte;
        while (node_at(nodes, next).check != state) {
            state = node_at(nodes, state).fail;
            next = node_at(nodes, state).base ^ byte;
        }
        state = next;
        groups[i] = node_at(nodes, state).out;
    }
    return state;
}

}  // namespace

uint32_t scan(const Model& model, const uint8_t* text, size_t size, uint32_t state, uint32_t* groups) {
    const Node* const nodes = model.nodes();
    const size_t warm = model.max_length();
    const size_t part = size / kLanes;
    if (part < 2 * warm + 16) return scan_plain(nodes, text, size, state, groups);
    // A state is the longest suffix of the text that begins a piece, so it is known after `warm` bytes from anywhere.
    const auto start = [&](size_t lane) {
        return scan_plain(nodes, text + lane * part - warm, warm, 0, groups + lane * part);
    };
    size_t at0 = 0, at1 = part, at2 = 2 * part, at3 = 3 * part;
    const size_t end0 = part, end1 = 2 * part, end2 = 3 * part;
    uint32_t state0 = state, state1 = start(1), state2 = start(2), state3 = start(3);
    uint32_t base0 = node_at(nodes, state0).base, base1 = node_at(nodes, state1).base;
    uint32_t base2 = node_at(nodes, state2).base, base3 = node_at(nodes, state3).base;
    // Small steps without branches, so that the four walks fill each other's waiting for memory. A step that fails goes
    // to the suffix and stays at its byte; what it writes is overwritten by the one that succeeds.
    const auto step = [&](size_t& at, uint32_t& here, uint32_t& base) __attribute__((always_inline)) {
        const uint32_t next = base ^ (uint32_t{text[at]} << kNodeBits);
        const uint32_t missed = node_at(nodes, next).check != here;
        here = next ^ ((next ^ node_at(nodes, here).fail) & (0 - missed));
        const Node& node = node_at(nodes, here);
        base = node.base;
        groups[at] = node.out;
        at += 1 - missed;
    };
    while (at0 < end0 && at1 < end1 && at2 < end2 && at3 < size) {
        step(at0, state0, base0);
        step(at1, state1, base1);
        step(at2, state2, base2);
        step(at3, state3, base3);
    }
    scan_plain(nodes, text + at0, end0 - at0, state0, groups + at0);
    scan_plain(nodes, text + at1, end1 - at1, state1, groups + at1);
    scan_plain(nodes, text + at2, end2 - at2, state2, groups + at2);
    return scan_plain(nodes, text + at3, size - at3, state3, groups + at3);
}

}  // namespace paribus
