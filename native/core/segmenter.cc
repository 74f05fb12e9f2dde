#include "segmenter.hh"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "training_chunks.hh"

namespace paribus {
namespace {

constexpr size_t kAhead = 12;  // bytes between a prefetch and its use
constexpr uint8_t kStay = 8;

inline uint64_t window_at(const uint8_t* text) {
    uint64_t value = 0;
    for (unsigned k = 0; k < kMaxOrder; ++k) value = value << 8 | text[k];
    return value;
}

template <unsigned kLength>
inline uint64_t key_of(uint64_t window) {
    constexpr unsigned padding = 8 * (kMaxOrder - kLength);
    return (window >> padding << padding) << kLengthBits | kLength;
}

}  // namespace

void Segmenter::count(const uint8_t* chunk, size_t size, PieceTable& pieces) {
    switch (model_.order()) {
        case 2: return run<2>(chunk, size, pieces);
        case 3: return run<3>(chunk, size, pieces);
        case 4: return run<4>(chunk, size, pieces);
        case 5: return run<5>(chunk, size, pieces);
        default: return run<6>(chunk, size, pieces);
    }
}

template <unsigned kOrder>
void Segmenter::fill(const uint8_t* chunk, size_t size) {
    text_.resize(size + kAhead + kMaxOrder);
    std::memcpy(text_.data(), chunk, size);
    std::memset(text_.data() + size, 0, kAhead + kMaxOrder);
    const uint8_t* const text = text_.data();
    values_.resize((size + kOrder) * kOrder);
    double* const values = values_.data();
    for (size_t i = 0; i < std::min<size_t>(size, kOrder); ++i) std::fill(values + i * kOrder, values + (i + 1) * kOrder, kUnseen);
    const auto prefetch = [&](uint64_t window) {
        if constexpr (kOrder >= 3) model_.prefetch(key_of<3>(window));
        if constexpr (kOrder >= 4) model_.prefetch(key_of<4>(window));
        if constexpr (kOrder >= 5) model_.prefetch(key_of<5>(window));
        if constexpr (kOrder >= 6) model_.prefetch(key_of<6>(window));
    };
    for (size_t i = 0; i < kAhead; ++i) prefetch(window_at(text + i));
    for (size_t i = 0; i < size; ++i) {
        prefetch(window_at(text + i + kAhead));
        const uint64_t window = window_at(text + i);
        double* const at = values + i * kOrder;
        const auto set = [&](unsigned j, double value) { at[j * (kOrder + 1)] = value; };
        set(0, model_.one(text[i]));
        // An n-gram is kept only with its prefix; rows behind the end of the chunk are written and never read.
        double value = model_.two(static_cast<uint32_t>(window >> (8 * (kMaxOrder - 2))));
        set(1, value);
        if constexpr (kOrder >= 3) set(2, value = value == kUnseen ? kUnseen : model_.many(key_of<3>(window)));
        if constexpr (kOrder >= 4) set(3, value = value == kUnseen ? kUnseen : model_.many(key_of<4>(window)));
        if constexpr (kOrder >= 5) set(4, value = value == kUnseen ? kUnseen : model_.many(key_of<5>(window)));
        if constexpr (kOrder >= 6) set(5, value == kUnseen ? kUnseen : model_.many(key_of<6>(window)));
    }
}

template <unsigned kOrder>
void Segmenter::run(const uint8_t* chunk, size_t size, PieceTable& pieces) {
    static const double backoff = std::log(0.4);  // Brants et al. 2007
    if (size == 0) return;
    fill<kOrder>(chunk, size);
    routes_.resize(size);
    constexpr unsigned kLastState = kOrder - 1;
    double a[kOrder];
    std::fill(a, a + kOrder, kUnseen);
    a[0] = is_continuation(chunk[0]) && revision_ == 1 ? kUnseen : values_[0];
    for (size_t i = 1; i < size; ++i) {
        double* const row = values_.data() + i * kOrder;
        double start = row[0];
        if (is_continuation(chunk[i])) {
            if (revision_ > 1) {
                const size_t deepest = std::min<size_t>(i, kLastState);
                for (size_t j = 1; j <= deepest; ++j) {
                    if (row[j] == kUnseen) row[j] = backoff + row[j - 1];
                }
            }
            start = kUnseen;
        }
        double sums[kOrder];
        for (unsigned r = 0; r < kOrder; ++r) sums[r] = a[r] + start;
        double high = sums[0];
        for (unsigned r = 1; r < kOrder; ++r) high = std::max(high, sums[r]);
        unsigned equal = 0;
        for (unsigned r = 0; r < kOrder; ++r) equal |= static_cast<unsigned>(sums[r] == high) << r;
        uint8_t route = static_cast<uint8_t>(std::countr_zero(equal));

        const double enter = a[kLastState - 1] + row[kLastState];
        const double stay = a[kLastState] + row[kLastState];
        if (stay > enter) route |= kStay;
        a[kLastState] = std::max(enter, stay);
        for (unsigned j = kLastState - 1; j > 0; --j) a[j] = a[j - 1] + row[j];
        a[0] = high;
        routes_[i] = route;
    }
    unsigned state = 0;
    for (unsigned r = 1; r < kOrder; ++r) {
        if (a[r] > a[state]) state = r;
    }
    cuts_.clear();
    for (size_t i = size - 1;; --i) {
        if (state == 0) cuts_.push_back(static_cast<uint32_t>(i));
        if (i == 0) break;
        if (state == 0) {
            state = routes_[i] & 7u;
        } else if (state < kLastState || !(routes_[i] & kStay)) {
            --state;
        }
    }
    for (size_t k = cuts_.size(); k-- > 0;) {
        const size_t end = k > 0 ? cuts_[k - 1] : size;
        pieces.add(chunk + cuts_[k], end - cuts_[k]);
    }
}

}  // namespace paribus
