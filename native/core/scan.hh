// The automaton over a text: for each byte, the group of pieces that end there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model.hh"

namespace paribus {

// Where a walk is: the base of its node, and where to go if that has no child by the next byte.
struct Place {
    uint32_t base, fail;
};

inline Place root(const Model& model) { return {model.nodes()[0].base, 0}; }

// groups[i] for the bytes text[0, size), from `place` on, which is moved behind them.
void scan(const Model& model, const uint8_t* text, size_t size, Place& place, uint32_t* groups);

}  // namespace paribus
