#include "walk.hh"

#include <bit>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif


namespace paribus {
namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kPatience = 1 << 15;
constexpr size_t kAhead = 12;  // bytes between asking for a group's cache line and its use

// yes or no without a branch, which could not be predicted.
inline uint32_t pick(bool condition, uint32_t yes, uint32_t no) {
    return no ^ ((no ^ yes) & (0u - static_cast<uint32_t>(condition)));
}

// The best of four ways to reach *at; among equals the first, which is the longest piece.
inline void best_of(const Group& group, const double* at, double& high, uint32_t& code) {
#if defined(__SSE2__)
    const __m128d ab = _mm_add_pd(_mm_loadh_pd(_mm_load_sd(at + group.back[0]), at + group.back[1]), _mm_load_pd(group.scores));
    const __m128d cd = _mm_add_pd(_mm_loadh_pd(_mm_load_sd(at + group.back[2]), at + group.back[3]), _mm_load_pd(group.scores + 2));
    const __m128d pair = _mm_max_pd(ab, cd);
    const __m128d most = _mm_max_pd(pair, _mm_shuffle_pd(pair, pair, 1));
    const int equal = _mm_movemask_pd(_mm_cmpeq_pd(ab, most)) | _mm_movemask_pd(_mm_cmpeq_pd(cd, most)) << 2;
    high = _mm_cvtsd_f64(most);
    code = group.codes[std::countr_zero(static_cast<unsigned>(equal) | 8u)];
#else
    const double a = at[group.back[0]] + group.scores[0];
    const double b = at[group.back[1]] + group.scores[1];
    const double c = at[group.back[2]] + group.scores[2];
    const double d = at[group.back[3]] + group.scores[3];
    const double left = std::max(a, b);
    const double right = std::max(c, d);
    const uint32_t ab = pick(b > a, group.codes[1], group.codes[0]);
    const uint32_t cd = pick(d > c, group.codes[3], group.codes[2]);
    code = pick(right > left, cd, ab);
    high = std::max(left, right);
#endif
}

// Where a chunk begins near the middle of the text, or 0.
size_t middle(const uint8_t* text, size_t size) {
    const size_t half = size / 2;
    const void* newline = std::memchr(text + half, '\n', size - half);
    if (!newline) return 0;
    size_t begin = static_cast<size_t>(static_cast<const uint8_t*>(newline) - text) + 1;
    while (begin < size && text[begin] == '\n') ++begin;
    return begin < size - size / 4 ? begin : 0;
}

}  // namespace

Walk::Walk(const Model& model)
    : model_(model), window_(model.max_length()), place_(root(model)), patience_(std::max(kPatience, 4 * window_)) {
    best_.resize(2 * (window_ + 1) + kBlock, 0);
}

void Walk::advance(const uint8_t* text, size_t size) {
    if (from_.size() < open_ + size + kAhead) from_.resize(std::max(open_ + size + kAhead, 2 * from_.size()));
    uint32_t* const from = from_.data() + open_;
    scan(model_, text, size, place_, from);

    const Group* const groups = model_.groups();
    const double* const byte_scores = model_.byte_scores();
    const uint32_t* const byte_codes = model_.byte_codes();
    const auto step = [&](size_t i, double* best, double& before) __attribute__((always_inline)) {
        const Group* group = groups + from[i];
        __builtin_prefetch(groups + from[i + kAhead]);
        double* const at = best + i + 1;
        double high;
        uint32_t code;
        best_of(*group, at, high, code);
        while (group->more) [[unlikely]] {
            ++group;
            double other;
            uint32_t other_code;
            best_of(*group, at, other, other_code);
            code = pick(other > high, other_code, code);
            high = std::max(high, other);
        }
        // The single byte is the last to try and never far: the chain from byte to byte is one sum and one maximum.
        const double single = before + byte_scores[text[i]];
        from[i] = pick(single > high, byte_codes[text[i]], code);
        // The score before this byte is stored only now: places left over in a group have read what lay there, so that
        // they, whose sums are minus infinity whatever it was, need not wait for it.
        at[-1] = before;
        before = std::max(high, single);
    };
    size_t decided = decided_;
    const auto begins = [&](size_t i) { return text[i - 1] == '\n' && text[i] != '\n'; };
    const auto start = [&](size_t i, double& before) {
        decided = std::max(decided, open_ + i);
        before = 0;
    };

    double* const first = best_.data() + window_;  // first[0]: before this block
    double* const second = first + window_ + 1;    // the half behind `cut` has scores of its own, since it starts anew
    double before = first[0], other = 0;
    if (size > 0 && last_ == '\n' && text[0] != '\n') start(0, before);
    const size_t cut = middle(text, size);
    const size_t end = cut ? cut : size;
    double* const tail = cut ? second : first;
    size_t i = 0;
    if (cut) {
        // Two walks at once fill each other's waiting for the sums before.
        size_t k = cut;
        start(k, other);
        const size_t both = std::min(cut, size - cut);
        step(i++, first, before);
        step(k++, second, other);
        while (i < both) {
            if (begins(i)) start(i, before);
            if (begins(k)) start(k, other);
            step(i++, first, before);
            step(k++, second, other);
        }
        for (; k < size; ++k) {
            if (begins(k)) start(k, other);
            step(k, second, other);
        }
    } else if (size > 0) {
        step(i++, first, before);
    }
    for (; i < end; ++i) {
        if (begins(i)) start(i, before);
        step(i, first, before);
    }
    tail[size] = cut ? other : before;
    decided_ = decided;
    last_ = text[size - 1];
    open_ += size;
    std::copy(tail + size - window_, tail + size + 1, best_.data());
}

// Append the best path to the open position `end`, in order. The tokens are gathered at the end of from_[0, end),
// where they can overtake nothing that is still to be read: a token covers at least one byte.
void Walk::emit(size_t end, std::vector<uint32_t>& out) {
    size_t write = end;
    for (size_t at = end; at > 0;) {
        const uint32_t code = from_[at - 1];
        at -= std::min(length_of(code), at);
        from_[--write] = code & kIdMask;
    }
    out.insert(out.end(), from_.begin() + static_cast<ptrdiff_t>(write), from_.begin() + static_cast<ptrdiff_t>(end));
    std::copy(from_.begin() + static_cast<ptrdiff_t>(end), from_.begin() + static_cast<ptrdiff_t>(open_), from_.begin());
    open_ -= end;
    decided_ = decided_ > end ? decided_ - end : 0;
}

// Every later path leaves from one of the last window_ positions; where their best paths meet, the past is decided.
void Walk::settle_common(std::vector<uint32_t>& out) {
    std::vector<bool> live(open_ + 1, false);
    size_t alive = 0;
    for (size_t at = open_; at + window_ > open_ && at > 0; --at) {
        live[at] = true;
        ++alive;
    }
    size_t at = open_;
    while (alive > 1 && at > 0) {
        if (live[at]) {
            const size_t before = at - std::min(length_of(from_[at - 1]), at);
            if (live[before]) --alive;
            live[before] = true;
        }
        --at;
    }
    while (at > 0 && !live[at]) --at;
    emit(at, out);
}

void Walk::take(const uint8_t* text, size_t size, std::vector<uint32_t>& out) {
    for (size_t begin = 0; begin < size;) {
        const size_t block = std::min(kBlock, size - begin);
        advance(text + begin, block);
        begin += block;
        if (open_ < patience_) continue;
        if (decided_ > 0) {
            emit(decided_, out);
        } else {
            settle_common(out);
        }
        patience_ = std::max({kPatience, 4 * window_, 2 * open_});
    }
}

void Walk::feed(const uint8_t* text, size_t size, std::vector<uint32_t>& out) {
    take(text, size, out);
    if (decided_ > 0) emit(decided_, out);
}

void Walk::finish(std::vector<uint32_t>& out) {
    emit(open_, out);
    place_ = root(model_);
    best_[window_] = 0;
    last_ = 0;
    patience_ = std::max(kPatience, 4 * window_);
}

void Walk::encode(const uint8_t* text, size_t size, std::vector<uint32_t>& out) {
    take(text, size, out);
    finish(out);
}

}  // namespace paribus
