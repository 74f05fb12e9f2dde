#include "scan.hh"

namespace paribus {
namespace {

constexpr size_t kLanes = 4;

inline const Node& node_at(const Node* nodes, uint32_t offset) {
    return *reinterpret_cast<const Node*>(reinterpret_cast<const char*>(nodes) + offset);
}

Place scan_plain(const Node* nodes, const uint8_t* text, size_t size, Place place, uint32_t* groups) {
    for (size_t i = 0; i < size; ++i) {
        const uint32_t byte = uint32_t{text[i]} << kNodeBits;
        while (node_at(nodes, place.base ^ byte).check != place.base) {
            const Node& node = node_at(nodes, place.fail);
            place = {node.base, node.fail};
        }
        const Node& node = node_at(nodes, place.base ^ byte);
        place = {node.base, node.fail};
        groups[i] = node.out;
    }
    return place;
}

}  // namespace

void scan(const Model& model, const uint8_t* text, size_t size, Place& place, uint32_t* groups) {
    const Node* const nodes = model.nodes();
    const size_t warm = model.max_length();
    const size_t part = size / kLanes;
    if (part < 2 * warm + 16) {
        place = scan_plain(nodes, text, size, place, groups);
        return;
    }
    // A place is the longest suffix of the text that begins a piece, so it is known after `warm` bytes from anywhere.
    const auto start = [&](size_t lane) {
        return scan_plain(nodes, text + lane * part - warm, warm, root(model), groups + lane * part);
    };
    size_t at0 = 0, at1 = part, at2 = 2 * part, at3 = 3 * part;
    const size_t end0 = part, end1 = 2 * part, end2 = 3 * part;
    Place place0 = place, place1 = start(1), place2 = start(2), place3 = start(3);
    // Small steps without branches, so that the four walks fill each other's waiting for memory. A step that fails goes
    // to the suffix and stays at its byte; what it writes is overwritten by the one that succeeds.
    const auto step = [&](size_t& at, Place& here) __attribute__((always_inline)) {
        const uint32_t next = here.base ^ (uint32_t{text[at]} << kNodeBits);
        const uint32_t missed = node_at(nodes, next).check != here.base;
        const Node& node = node_at(nodes, next ^ ((next ^ here.fail) & (0 - missed)));
        here = {node.base, node.fail};
        groups[at] = node.out;
        at += 1 - missed;
    };
    while (at0 < end0 && at1 < end1 && at2 < end2 && at3 < size) {
        step(at0, place0);
        step(at1, place1);
        step(at2, place2);
        step(at3, place3);
    }
    scan_plain(nodes, text + at0, end0 - at0, place0, groups + at0);
    scan_plain(nodes, text + at1, end1 - at1, place1, groups + at1);
    scan_plain(nodes, text + at2, end2 - at2, place2, groups + at2);
    place = scan_plain(nodes, text + at3, size - at3, place3, groups + at3);
}

}  // namespace paribus
