// Cut a chunk into pieces by the n-gram model, each byte in one of `order` states: its place within its piece.
#pragma once

#include <cstdint>
#include <vector>

#include "ngrams.hh"
#include "piece_counts.hh"

namespace paribus {

// a_i[0] = max_r a_{i-1}[r] + L_1; a_i[j] = a_{i-1}[j-1] + L_{j+1}; the last state also stays. Ties: the lowest r.
// revision 1 is bytepiece 0.6.3; revision 2 backs off where the original has minus infinity and no piece may begin.
class Segmenter {
  public:
    Segmenter(const NgramModel& model, unsigned revision) : model_(model), revision_(revision) {}

    void count(const uint8_t* chunk, size_t size, PieceTable& pieces);

  private:
    template <unsigned kOrder>
    void run(const uint8_t* chunk, size_t size, PieceTable& pieces);
    template <unsigned kOrder>
    void fill(const uint8_t* chunk, size_t size);

    const NgramModel& model_;
    unsigned revision_;
    std::vector<uint8_t> text_;
    std::vector<double> values_;   // row i, column j: ln p(byte i | the j bytes before it)
    std::vector<uint8_t> routes_;  // low bits: best state before a start; bit 3: the last state stayed
    std::vector<uint32_t> cuts_;
};

}  // namespace paribus
