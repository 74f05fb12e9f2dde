// The best segmentation of a document: a maximum over the pieces that end at each byte, then back from the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model.hh"
#include "scan.hh"

namespace paribus {

// One document, whole or in parts. score[e] = max over pieces w that end at e of score[e - |w|] + ln p(w), in double
// precision from the start of each chunk; among equals the longest piece wins.
class Walk {
  public:
    explicit Walk(const Model& model);

    // Take the next bytes of the document; tokens that no later byte can change are appended to out.
    void feed(const uint8_t* text, size_t size, std::vector<uint32_t>& out);
    // End the document: append the rest and be ready for the next one.
    void finish(std::vector<uint32_t>& out);
    // feed and finish.
    void encode(const uint8_t* text, size_t size, std::vector<uint32_t>& out);

    // Bytes of scratch space held, which a long line without a decision makes large.
    size_t memory() const { return from_.capacity() * sizeof(uint32_t); }
    size_t pending() const { return open_; }  // bytes taken whose tokens are still open

  private:
    void take(const uint8_t* text, size_t size, std::vector<uint32_t>& out);
    void advance(const uint8_t* text, size_t size);
    void settle_common(std::vector<uint32_t>& out);
    void emit(size_t end, std::vector<uint32_t>& out);
    size_t length_of(uint32_t code) const {
        const uint32_t length = code >> kIdBits;
        return length < kLongLength ? length : model_.length(code & kIdMask);
    }

    const Model& model_;
    size_t window_;               // the longest piece: how far back a step may look
    std::vector<double> best_;    // window_ scores that were, then those of the block being walked
    std::vector<uint32_t> from_;  // the last piece of the best path to each open position
    size_t open_ = 0;             // positions of from_ in use
    size_t decided_ = 0;          // of these, before the last start of a chunk
    Place place_;
    uint8_t last_ = 0;  // the byte before
    size_t patience_;   // open bytes before a search for a settled prefix
};

}  // namespace paribus
