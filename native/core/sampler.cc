#include "sampler.hh"

#include <algorithm>
#include <cmath>
#include <limits>

#include "chunks.hh"
#include "random.hh"

namespace paribus {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLow = 0x1.0p-300;
constexpr double kHigh = 0x1.0p+300;

}  // namespace

Sampler::Sampler(const Model& model, double alpha) : model_(model), alpha_(alpha), window_(model.max_length()) {
    weights_.resize(model.n_tokens());
    for (uint32_t id = 0; id < model.n_tokens(); ++id) {
        weights_[id] = std::exp(alpha * (model.scores()[id] + model.length(id) * model.tilt()));
    }
}

void Sampler::states(const uint8_t* text, size_t size) {
    const Node* const nodes = model_.nodes();
    states_.resize(size);
    uint32_t state = 0;
    for (size_t i = 0; i < size; ++i) {
        const uint32_t byte = text[i];
        uint32_t next = nodes[state].base ^ byte;
        while (nodes[next].check != state) {
            state = nodes[state].fail;
            next = nodes[state].base ^ byte;
        }
        state = next;
        states_[i] = nodes[state].out;
    }
}

// False when the weights span more than a double can hold: then the chunk is done again with logarithms.
bool Sampler::forward(size_t size) {
    const Match* const matches = model_.matches();
    const double* const weights = weights_.data();
    z_.assign(window_, 0.0);
    z_.push_back(1.0);
    z_.resize(window_ + 1 + size);
    segments_.assign(1, {0, window_});
    double* z = z_.data() + window_;
    for (size_t e = 1; e <= size; ++e) {
        const Match* match = matches + states_[e - 1];
        double sum = 0;
        while (true) {
            const uint32_t length = match->length;
            sum += z[static_cast<ptrdiff_t>(e) - static_cast<ptrdiff_t>(length & ~kLast)] * weights[match->id];
            if (length & kLast) break;
            ++match;
        }
        z[e] = sum;
        if (sum > kLow && sum < kHigh) [[likely]] continue;
        if (!(sum > 0) || !(sum < kInfinity)) return false;
        // Begin a segment with a copy of the window, scaled by a power of two so that Z[e] is near one.
        const int scale = -std::ilogb(sum);
        const size_t shift = segments_.back().shift;
        segments_.push_back({e, shift + window_ + 1});
        z_.resize(z_.size() + window_ + 1);
        for (size_t k = 0; k <= window_; ++k) {
            const double old = z_[e + shift - window_ + k];
            const double scaled = std::ldexp(old, scale);
            if (!(scaled < kInfinity) || (old > 0 && scaled < 0x1.0p-1000)) return false;
            z_[e + shift + 1 + k] = scaled;
        }
        z = z_.data() + segments_.back().shift;
    }
    return true;
}

void Sampler::backward(size_t size, uint64_t key, uint64_t origin) {
    const Match* const matches = model_.matches();
    size_t segment = segments_.size() - 1;
    for (size_t e = size; e > 0;) {
        while (segments_[segment].begin >= e && segment > 0) --segment;
        const double* z = z_.data() + segments_[segment].shift;
        const double target = uniform(key, origin + e) * z[e];
        const Match* match = matches + states_[e - 1];
        double sum = 0;
        uint32_t length;
        while (true) {
            length = match->length & ~kLast;
            if (match->length & kLast) break;
            sum += z[static_cast<ptrdiff_t>(e) - static_cast<ptrdiff_t>(length)] * weights_[match->id];
            if (target < sum) break;
            ++match;
        }
        drawn_.push_back(match->id);
        e = length < e ? e - length : 0;
    }
}

void Sampler::forward_log(size_t size) {
    const Match* const matches = model_.matches();
    z_.assign(window_, -kInfinity);
    z_.push_back(0.0);
    z_.resize(window_ + 1 + size);
    double* const z = z_.data() + window_;
    for (size_t e = 1; e <= size; ++e) {
        const auto value = [&](const Match* match) {
            return z[static_cast<ptrdiff_t>(e) - static_cast<ptrdiff_t>(match->length & ~kLast)] + alpha_ * match->score;
        };
        double high = -kInfinity;
        for (const Match* match = matches + states_[e - 1];; ++match) {
            high = std::max(high, value(match));
            if (match->length & kLast) break;
        }
        double sum = 0;
        for (const Match* match = matches + states_[e - 1];; ++match) {
            sum += std::exp(value(match) - high);
            if (match->length & kLast) break;
        }
        z[e] = high + std::log(sum);
    }
}

void Sampler::backward_log(size_t size, uint64_t key, uint64_t origin) {
    const Match* const matches = model_.matches();
    const double* const z = z_.data() + window_;
    for (size_t e = size; e > 0;) {
        const double target = uniform(key, origin + e);
        const Match* match = matches + states_[e - 1];
        double sum = 0;
        uint32_t length;
        while (true) {
            length = match->length & ~kLast;
            if (match->length & kLast) break;
            sum += std::exp(z[static_cast<ptrdiff_t>(e) - static_cast<ptrdiff_t>(length)] + alpha_ * match->score - z[e]);
            if (target < sum) break;
            ++match;
        }
        drawn_.push_back(match->id);
        e = length < e ? e - length : 0;
    }
}

void Sampler::sample(const uint8_t* text, size_t size, uint64_t seed, uint64_t document, std::vector<uint32_t>& out) {
    const uint64_t key = document_key(seed, document);
    for (size_t begin = 0; begin < size;) {
        const size_t end = chunk_end(text, begin, size);
        const size_t length = end - begin;
        states(text + begin, length);
        drawn_.clear();
        if (forward(length)) {
            backward(length, key, begin);
        } else {
            forward_log(length);
            backward_log(length, key, begin);
        }
        out.insert(out.end(), drawn_.rbegin(), drawn_.rend());
        begin = end;
    }
}

}  // namespace paribus
