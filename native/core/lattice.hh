// All segmentations of a document at once: the n best, the probability of each piece, the entropy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model.hh"

namespace paribus {

// A segmentation has the weight prod p(piece)^alpha. Sums are natural logarithms, added in the order of the
// plain-Python twin. The chunks of a document are independent; memory is that of all places where a piece fits.
class Lattice {
  public:
    Lattice(const Model& model, const uint8_t* text, size_t size);

    // A piece that ends at some byte: begins before byte `start` of the document.
    struct Edge {
        uint64_t start;
        uint32_t id;
        double score;  // ln p
    };
    struct Marginal {
        uint64_t start, end;
        uint32_t id;
        double probability;
    };
    struct Path {
        double score;
        std::vector<uint32_t> ids;
    };

    // The n most probable segmentations, the best first; among equals the one whose last piece is longest, then the
    // one whose past is better.
    std::vector<Path> nbest(size_t n) const;
    // P(piece at a place), by end and from the longest.
    std::vector<Marginal> marginals(double alpha) const;
    // -sum P ln P over the segmentations, in nats.
    double entropy(double alpha) const;

  private:
    struct Chunk {
        size_t begin, end;
    };
    std::vector<Path> nbest_of(const Chunk& chunk, size_t n) const;
    // The last piece before e is one of its edges with probability exp(ln Z[start] + alpha ln p - high) / sum: set
    // against the largest, the probabilities of the edges sum to one however large the logarithms are.
    struct Last {
        double high, sum;
    };
    Last last(const Chunk& chunk, double alpha, const std::vector<double>& log_z, size_t e) const;
    void forward(const Chunk& chunk, double alpha, std::vector<double>& log_z) const;
    const Edge* edges(size_t end) const { return edges_.data() + first_[end - 1]; }
    size_t n_edges(size_t end) const { return first_[end] - first_[end - 1]; }

    std::vector<Chunk> chunks_;
    std::vector<Edge> edges_;    // by end, the longest first
    std::vector<size_t> first_;  // edges of end e are first_[e - 1] to first_[e]
};

}  // namespace paribus
