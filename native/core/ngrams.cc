#include "ngrams.hh"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "checksum.hh"
#include "model.hh"

namespace paribus {
namespace {

constexpr size_t kTail = 1024;
constexpr size_t kMakingBytes = 48;  // of an n-gram, in its level and in two places of the table

uint64_t prefix(uint64_t bytes, unsigned length) { return bytes >> (8 * (kMaxOrder - length)) << (8 * (kMaxOrder - length)); }

}  // namespace

NgramModel::NgramModel(const RunSettings& settings, uint64_t min_count, size_t memory)
    : settings_(settings), min_count_(min_count), memory_(memory) {}

void NgramModel::close(unsigned level) {
    if (level > 1 && counts_[level] < min_count_) return;
    levels_[level].push({prefix(bytes_, level) << kLengthBits | level, counts_[level]});
    if (++size_ * kMakingBytes > memory_) {
        throw MemoryError("the n-grams seen at least " + std::to_string(min_count_) +
                          " times do not fit the memory given: raise the memory or the minimal count");
    }
}

void NgramModel::add(uint64_t window, uint64_t count) {
    const unsigned length = static_cast<unsigned>(window & ((1u << kLengthBits) - 1));
    const uint64_t bytes = window >> kLengthBits;
    if (length == 0 || length > settings_.order || (bytes >> (8 * kMaxOrder)) || prefix(bytes, length) != bytes) {
        throw FormatError("the counts hold an n-gram that cannot be: the file is damaged");
    }
    const uint64_t differ = (bytes ^ bytes_) << (64 - 8 * kMaxOrder);
    const unsigned same = differ ? static_cast<unsigned>(std::countl_zero(differ)) / 8 : kMaxOrder;
    const unsigned common = std::min({same, depth_, length});
    for (unsigned level = depth_; level > common; --level) close(level);
    for (unsigned level = common + 1; level <= length; ++level) counts_[level] = 0;
    for (unsigned level = 1; level <= length; ++level) counts_[level] += count;
    bytes_ = bytes;
    counted_ += count;
    depth_ = length;
}

void NgramModel::finish() {
    for (unsigned level = depth_; level > 0; --level) close(level);
    depth_ = 0;
    uint64_t counts[256] = {};
    levels_[1].each([&](const Gram* grams, size_t n) {
        for (size_t i = 0; i < n; ++i) counts[grams[i].key >> kLengthBits >> (8 * (kMaxOrder - 1))] = grams[i].count;
    });
    uint64_t total = 0;
    for (uint64_t& count : counts) total += count = std::max<uint64_t>(count, 1);
    const double log_total = std::log(static_cast<double>(total));
    ones_.resize(256);
    for (size_t byte = 0; byte < 256; ++byte) ones_[byte] = std::log(static_cast<double>(counts[byte])) - log_total;
    twos_.assign(65536, kUnseen);

    size_t many = 0;
    for (unsigned level = 3; level <= settings_.order; ++level) many += levels_[level].size();
    n_places_ = std::max<size_t>(2 * many, 16);
    slots_.assign(n_places_ + kTail, Slot{0, 0});

    // Most n-grams are rare, and a logarithm costs more than the rest of an entry.
    std::vector<double> logarithms(1 << 12);
    for (size_t n = 1; n < logarithms.size(); ++n) logarithms[n] = std::log(static_cast<double>(n));
    const auto ln = [&](uint64_t n) { return n < logarithms.size() ? logarithms[n] : std::log(static_cast<double>(n)); };
    fingerprint_ = checksum(&min_count_, sizeof min_count_);
    for (unsigned level = 1; level <= settings_.order; ++level) {
        levels_[level].each([&](const Gram* grams, size_t n) { fingerprint_ = checksum(grams, n * sizeof(Gram), fingerprint_); });
        if (level == 1) continue;
        size_t parent = 0;  // both levels are sorted
        const auto enter = [&](const Gram& gram) {
            const uint64_t bytes = gram.key >> kLengthBits;
            const uint64_t above = prefix(bytes, level - 1) << kLengthBits | (level - 1);
            while (levels_[level - 1][parent].key < above) ++parent;
            const double value = ln(gram.count) - ln(levels_[level - 1][parent].count);
            if (level == 2) {
                twos_[bytes >> (8 * (kMaxOrder - 2))] = value;
                return;
            }
            size_t i = hash(gram.key);
            while (i < slots_.size() && slots_[i].key) ++i;
            if (i + 1 >= slots_.size()) slots_.resize(i + 2, Slot{0, 0});
            slots_[i] = {gram.key, value};
        };
        levels_[level].each([&](const Gram* grams, size_t n) {
            for (size_t i = 0; i < n; ++i) enter(grams[i]);
        });
        levels_[level - 1].clear();
    }
    for (auto& level : levels_) level.clear();
}

}  // namespace paribus
