// Draw a segmentation with probability proportional to the product of p(piece)^alpha, exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model.hh"

namespace paribus {

// Forward, Z[e] = sum over pieces w that end at e of Z[e - |w|] p(w)^alpha; backward from the end, the last piece is
// drawn with probability Z[e - |w|] p(w)^alpha / Z[e]. The draw at byte e of document d uses uniform(seed, d, e).
class Sampler {
  public:
    // alpha >= 0 and finite: 0 is uniform over segmentations, 1 the model's own posterior.
    Sampler(const Model& model, double alpha);

    void sample(const uint8_t* text, size_t size, uint64_t seed, uint64_t document, std::vector<uint32_t>& out);
    double alpha() const { return alpha_; }

  private:
    // Positions (begin, ...] of the chunk find Z[p] at z_[p + shift].
    struct Segment {
        size_t begin;
        size_t shift;
    };

    bool forward(const uint8_t* chunk, const uint32_t* groups, size_t size);
    void backward(const uint32_t* groups, size_t size, uint64_t key, uint64_t origin);
    void forward_log(const uint8_t* chunk, const uint32_t* groups, size_t size);
    template <typename Use>
    void for_each(const double* z, uint32_t group_at, Use use) const;
    void backward_log(const uint8_t* chunk, const uint32_t* groups, size_t size, uint64_t key, uint64_t origin);

    const Model& model_;
    double alpha_;
    size_t window_;
    // exp(alpha (ln p + |w| tilt)) in the order of the groups, and of the single bytes; the factor exp(alpha |w| tilt)
    // is common to all paths of a chunk and cancels
    std::vector<double> weights_;
    std::vector<double> byte_weights_;
    std::vector<uint32_t> groups_;  // of each byte of the document
    std::vector<double> z_;
    std::vector<Segment> segments_;
    std::vector<uint32_t> drawn_;
};

}  // namespace paribus
