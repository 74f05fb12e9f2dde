// The byte n-gram model: ln p(last byte | the bytes before it), by counts, without smoothing.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "windows.hh"

namespace paribus {

constexpr double kUnseen = -std::numeric_limits<double>::infinity();

class NgramModel {
  public:
    // N-grams of two bytes and more are kept from min_count occurrences on; all bytes are kept, unseen ones as if once.
    NgramModel(const RunSettings& settings, uint64_t min_count, size_t memory);

    void add(uint64_t window, uint64_t count);  // in increasing order
    void finish();

    unsigned order() const { return settings_.order; }
    size_t size() const { return size_; }             // n-grams kept
    uint64_t fingerprint() const { return fingerprint_; }
    double one(uint8_t byte) const { return ones_[byte]; }
    double two(uint32_t pair) const { return twos_[pair]; }
    // n-grams of 3 bytes and more, as windows (bytes padded with zeros << 3 | length)
    void prefetch(uint64_t key) const { __builtin_prefetch(&slots_[hash(key)]); }
    double many(uint64_t key) const {
        for (size_t i = hash(key);; i = (i + 1) & mask_) {
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

    size_t hash(uint64_t key) const { return static_cast<size_t>((key * 0x9e3779b97f4a7c15ull) >> shift_); }
    void close(unsigned level);

    RunSettings settings_;
    uint64_t min_count_;
    size_t memory_;
    std::vector<Gram> levels_[kMaxOrder + 1];
    uint64_t counts_[kMaxOrder + 1] = {};  // of the open n-grams, by length
    uint64_t bytes_ = 0;
    unsigned depth_ = 0;
    size_t size_ = 0;
    uint64_t fingerprint_ = 0;
    std::vector<double> ones_, twos_;
    std::vector<Slot> slots_;
    size_t mask_ = 0;
    unsigned shift_ = 63;
};

}  // namespace paribus
