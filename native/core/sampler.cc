#include "sampler.hh"

#include <algorithm>
#include <cmath>
#include <limits>

#include "chunks.hh"
#include "random.hh"
#include "scan.hh"

namespace paribus {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLow = 0x1.0p-300;
constexpr double kHigh = 0x1.0p+300;
constexpr uint32_t kByte = kNone;  // drawn: the single byte at that place

}  // namespace

Sampler::Sampler(const Model& model, double alpha) : model_(model), alpha_(alpha), window_(model.max_length()) {
    weights_.resize(size_t{model.n_groups()} * 4);
    for (size_t i = 0; i < weights_.size(); ++i) {
        const Group& group = model.groups()[i / 4];
        const bool real = group.scores[i % 4] != kNothing;
        weights_[i] = real ? std::exp(alpha * (group.scores[i % 4] - group.back[i % 4] * model.tilt())) : 0;
    }
    byte_weights_.resize(256);
    for (size_t byte = 0; byte < 256; ++byte) byte_weights_[byte] = std::exp(alpha * (model.byte_scores()[byte] + model.tilt()));
}

// False when the weights span more than a double can hold: then the chunk is done again with logarithms.
bool Sampler::forward(const uint8_t* chunk, const uint32_t* groups, size_t size) {
    const Group* const all = model_.groups();
    const double* const weights = weights_.data();
    if (z_.size() < window_ + 1 + size) z_.resize(std::max(window_ + 1 + size, 2 * z_.size()));
    std::fill(z_.begin(), z_.begin() + static_cast<ptrdiff_t>(window_), 0.0);
    segments_.assign(1, {0, window_});
    double* z = z_.data() + window_;
    double before = z[0] = 1;
    for (size_t e = 1; e <= size; ++e) {
        uint32_t at = groups[e - 1];
        double sum = 0;
        while (true) {
            const Group& group = all[at];
            const double* const w = weights + size_t{at} * 4;
            sum += (z[static_cast<ptrdiff_t>(e) + group.back[0]] * w[0] + z[static_cast<ptrdiff_t>(e) + group.back[1]] * w[1]) +
                   (z[static_cast<ptrdiff_t>(e) + group.back[2]] * w[2] + z[static_cast<ptrdiff_t>(e) + group.back[3]] * w[3]);
            if (!group.more) [[likely]] break;
            ++at;
        }
        z[e] = before = sum + before * byte_weights_[chunk[e - 1]];
        if (before > kLow && before < kHigh) [[likely]] continue;
        if (!(before > 0) || !(before < kInfinity)) return false;
        // Begin a segment with a copy of the window, scaled by a power of two so that Z[e] is near one.
        const int scale = -std::ilogb(before);
        const size_t shift = segments_.back().shift;
        segments_.push_back({e, shift + window_ + 1});
        z_.resize(std::max(z_.size(), shift + window_ + 2 + size));
        for (size_t k = 0; k <= window_; ++k) {
            const double old = z_[e + shift - window_ + k];
            const double scaled = std::ldexp(old, scale);
            if (!(scaled < kInfinity) || (old > 0 && scaled < 0x1.0p-1000)) return false;
            z_[e + shift + 1 + k] = scaled;
        }
        z = z_.data() + segments_.back().shift;
        before = z[e];
    }
    return true;
}

void Sampler::backward(const uint32_t* groups, size_t size, uint64_t key, uint64_t origin) {
    const Group* const all = model_.groups();
    size_t segment = segments_.size() - 1;
    for (size_t e = size; e > 0;) {
        while (segments_[segment].begin >= e && segment > 0) --segment;
        const double* z = z_.data() + segments_[segment].shift + e;
        const double target = uniform(key, origin + e) * z[0];
        double sum = 0;
        uint32_t drawn = kByte;
        size_t length = 1;
        for (uint32_t at = groups[e - 1];; ++at) {
            const Group& group = all[at];
            const double* const w = weights_.data() + size_t{at} * 4;
            unsigned k = 0;
            for (; k < 4; ++k) {
                sum += z[group.back[k]] * w[k];
                if (target < sum) break;
            }
            if (k < 4) {
                drawn = group.codes[k] & kIdMask;
                length = static_cast<size_t>(-group.back[k]);
                break;
            }
            if (!group.more) break;
        }
        drawn_.push_back(drawn);
        e -= std::min(length, e);
    }
}

// ln Z of each longer piece that ends here with what comes before it; z is at this end, and the single byte is left out.
template <typename Use>
void Sampler::for_each(const double* z, uint32_t group_at, Use use) const {
    for (const Group* group = model_.groups() + group_at;; ++group) {
        for (unsigned k = 0; k < 4; ++k) {
            if (group->scores[k] != kNothing) use(z[group->back[k]] + alpha_ * group->scores[k]);
        }
        if (!group->more) break;
    }
}

void Sampler::forward_log(const uint8_t* chunk, const uint32_t* groups, size_t size) {
    if (z_.size() < window_ + 1 + size) z_.resize(window_ + 1 + size);
    std::fill(z_.begin(), z_.begin() + static_cast<ptrdiff_t>(window_), -kInfinity);
    double* const z = z_.data() + window_;
    z[0] = 0;
    for (size_t e = 1; e <= size; ++e) {
        const double single = z[e - 1] + alpha_ * model_.byte_scores()[chunk[e - 1]];
        double high = single;
        for_each(z + e, groups[e - 1], [&](double term) { high = std::max(high, term); });
        double sum = 0;
        for_each(z + e, groups[e - 1], [&](double term) { sum += std::exp(term - high); });
        sum += std::exp(single - high);
        z[e] = high + std::log(sum);
    }
}

void Sampler::backward_log(const uint8_t* chunk, const uint32_t* groups, size_t size, uint64_t key, uint64_t origin) {
    const Group* const all = model_.groups();
    for (size_t e = size; e > 0;) {
        const double* const z = z_.data() + window_ + e;
        const double single = z[-1] + alpha_ * model_.byte_scores()[chunk[e - 1]];
        double high = single;
        for_each(z, groups[e - 1], [&](double term) { high = std::max(high, term); });
        // The shares of all pieces against the largest: they sum to what is drawn from, however large the logarithms.
        double all_shares = 0;
        for_each(z, groups[e - 1], [&](double term) { all_shares += std::exp(term - high); });
        all_shares += std::exp(single - high);
        const double target = uniform(key, origin + e) * all_shares;
        double sum = 0;
        uint32_t drawn = kByte;
        size_t length = 1;
        for (const Group* group = all + groups[e - 1];; ++group) {
            unsigned k = 0;
            for (; k < 4; ++k) {
                if (group->scores[k] != kNothing) sum += std::exp(z[group->back[k]] + alpha_ * group->scores[k] - high);
                if (target < sum) break;
            }
            if (k < 4) {
                drawn = group->codes[k] & kIdMask;
                length = static_cast<size_t>(-group->back[k]);
                break;
            }
            if (!group->more) break;
        }
        drawn_.push_back(drawn);
        e -= std::min(length, e);
    }
}

void Sampler::sample(const uint8_t* text, size_t size, uint64_t seed, uint64_t document, std::vector<uint32_t>& out) {
    const uint64_t key = document_key(seed, document);
    if (groups_.size() < size) groups_.resize(size);
    Place place = root(model_);
    scan(model_, text, size, place, groups_.data());
    for (size_t begin = 0; begin < size;) {
        const size_t end = chunk_end(text, begin, size);
        const size_t length = end - begin;
        drawn_.clear();
        if (forward(text + begin, groups_.data() + begin, length)) {
            backward(groups_.data() + begin, length, key, begin);
        } else {
            forward_log(text + begin, groups_.data() + begin, length);
            backward_log(text + begin, groups_.data() + begin, length, key, begin);
        }
        size_t at = begin;
        for (size_t k = drawn_.size(); k-- > 0;) {
            const uint32_t id = drawn_[k] == kByte ? model_.byte_codes()[text[at]] & kIdMask : drawn_[k];
            out.push_back(id);
            at += model_.length(id);
        }
        begin = end;
    }
}

}  // namespace paribus
