// The byte n-gram model: ln p(last byte | the bytes before it), by counts, without smoothing.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "blocks.hh"
#include "windows.hh"

namespace paribus {

constexpr double kUnseen = -std::numeric_limits<double>::infinity();

class NgramModel {
  public:
    // N-grams of two bytes and more are kept from min_count occurrences on; all bytes are kept, unseen ones as if once.
    // memory: bytes at the most, 48 for each n-gram kept while it is made and 32 afterwards.
    NgramModel(const RunSettings& settings, uint64_t min_count, size_t memory);

    void add(uint64_t window, uint64_t count);  // in increasing order
    void finish();

    unsigned order() const { return settings_.order; }
    size_t size() const { return size_; }             // n-grams kept
    uint64_t counted() const { return counted_; }     // bytes of the text, each of which began one window
    uint64_t fingerprint() const { return fingerprint_; }
    double one(uint8_t byte) const { return ones_[byte]; }
    double two(uint32_t pair) const { return twos_[pair]; }
    // n-grams of 3 bytes and more, as windows (bytes padded with zeros << 3 | length)
    void prefetch(uint64_t key) const { __builtin_prefetch(&slots_[hash(key)]); }
    double many(uint64_t key) const {
        for (size_t i = hash(key);; ++i) {
            if (slots_[i].key == key) return slots_[i].value;
            if (slots_[i].key == 0) return kUnseen;
        }
    }

  private:
    struct Slot {
        uint64_t key;  // 0 is free: a length is never 0
        double value;
    };
    struct Gram {
        uint64_t key, count;
    };

    // A place below n_places_, of any number: a table of a power of two would be half empty or half too large.
    size_t hash(uint64_t key) const {
        return static_cast<size_t>((static_cast<unsigned __int128>(key * 0x9e3779b97f4a7c15ull) * n_places_) >> 64);
    }
    void close(unsigned level);

    RunSettings settings_;
    uint64_t min_count_;
    size_t memory_;
    Blocks<Gram> levels_[kMaxOrder + 1];
    uint64_t counts_[kMaxOrder + 1] = {};  // of the open n-grams, by length
    uint64_t bytes_ = 0;
    uint64_t counted_ = 0;
    unsigned depth_ = 0;
    size_t size_ = 0;
    uint64_t fingerprint_ = 0;
    std::vector<double> ones_, twos_;
    std::vector<Slot> slots_;  // places, then a tail for those that are pushed on, whose last is free
    size_t n_places_ = 0;
};

}  // namespace paribus
