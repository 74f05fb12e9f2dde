#include "walk.hh"

#include <algorithm>
#include <limits>

#include "chunks.hh"

namespace paribus {
namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kPatience = 1 << 15;

}  // namespace

Walk::Walk(const Model& model) : model_(model), window_(model.max_length()), patience_(std::max(kPatience, 4 * window_)) {
    best_.resize(window_ + 1 + kBlock, 0);
    best_[window_] = 0;
}

void Walk::advance(const uint8_t* text, size_t size) {
    const Node* const nodes = model_.nodes();
    const Match* const matches = model_.matches();
    const size_t open = from_.size();
    from_.resize(open + size);
    uint32_t* const from = from_.data() + open;
    double* const best = best_.data() + window_;  // best[0]: before this block
    uint32_t state = state_;
    for (size_t i = 0; i < size; ++i) {
        const uint32_t byte = text[i];
        uint32_t next = nodes[state].base ^ byte;
        while (nodes[next].check != state) {
            state = nodes[state].fail;
            next = nodes[state].base ^ byte;
        }
        state = next;
        const Match* match = matches + nodes[state].out;
        double high = -std::numeric_limits<double>::infinity();
        uint32_t id = match->id;
        while (true) {
            const uint32_t length = match->length;
            const double score = best[static_cast<ptrdiff_t>(i + 1) - static_cast<ptrdiff_t>(length & ~kLast)] + match->score;
            if (score > high) {
                high = score;
                id = match->id;
            }
            if (length & kLast) break;
            ++match;
        }
        best[i + 1] = high;
        from[i] = id;
    }
    state_ = state;
    std::copy(best_.data() + size, best_.data() + size + window_ + 1, best_.data());
}

// Append the best path to the open position `end`, in order. The tokens are gathered at the end of from_[0, end),
// where they can overtake nothing that is still to be read: a token covers at least one byte.
void Walk::emit(size_t end, std::vector<uint32_t>& out) {
    size_t write = end;
    for (size_t at = end; at > 0;) {
        const uint32_t id = from_[at - 1];
        const size_t length = model_.length(id);
        at = length < at ? at - length : 0;
        from_[--write] = id;
    }
    out.insert(out.end(), from_.begin() + static_cast<ptrdiff_t>(write), from_.begin() + static_cast<ptrdiff_t>(end));
}

void Walk::settle_all(std::vector<uint32_t>& out) {
    emit(from_.size(), out);
    from_.clear();
    state_ = 0;
    best_[window_] = 0;
    newline_ = false;
    patience_ = std::max(kPatience, 4 * window_);
}

// Every later path leaves from one of the last window_ positions; where their best paths meet, the past is decided.
void Walk::settle_common(std::vector<uint32_t>& out) {
    const size_t size = from_.size();
    std::vector<bool> live(size + 1, false);
    size_t alive = 0;
    for (size_t at = size; at + window_ > size && at > 0; --at) {
        live[at] = true;
        ++alive;
    }
    size_t at = size;
    while (alive > 1 && at > 0) {
        if (live[at]) {
            const size_t length = model_.length(from_[at - 1]);
            const size_t before = length < at ? at - length : 0;
            if (live[before]) --alive;
            live[before] = true;
        }
        --at;
    }
    while (at > 0 && !live[at]) --at;
    if (at == 0) {
        patience_ *= 2;
        return;
    }
    emit(at, out);
    from_.erase(from_.begin(), from_.begin() + static_cast<ptrdiff_t>(at));
    patience_ = std::max({kPatience, 4 * window_, 2 * from_.size()});
}

void Walk::feed(const uint8_t* text, size_t size, std::vector<uint32_t>& out) {
    size_t begin = 0;
    while (begin < size) {
        if (newline_ && text[begin] != '\n') settle_all(out);
        const size_t end = chunk_end(text, begin, size);
        while (begin < end) {
            const size_t block = std::min(kBlock, end - begin);
            advance(text + begin, block);
            begin += block;
            if (from_.size() >= patience_) settle_common(out);
        }
        newline_ = text[end - 1] == '\n';
    }
}

void Walk::finish(std::vector<uint32_t>& out) { settle_all(out); }

void Walk::encode(const uint8_t* text, size_t size, std::vector<uint32_t>& out) {
    feed(text, size, out);
    finish(out);
}

}  // namespace paribus
