// The automaton over a text: for each byte, the group of pieces that end there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model.hh"

namespace paribus {

// groups[i] for the bytes text[0, size), from `state` on; returns the state behind them.
uint32_t scan(const Model& model, const uint8_t* text, size_t size, uint32_t state, uint32_t* groups);

}  // namespace paribus
