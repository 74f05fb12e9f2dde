// Decimal digits of all scripts: the general category Nd of Unicode 14, fixed so that models do not change.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paribus {

// Length in bytes of the UTF-8 digit that begins here, 0 if none does.
size_t digit_at(const uint8_t* text, size_t size);

}  // namespace paribus
