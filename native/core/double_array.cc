#include "double_array.hh"

#include <algorithm>
#include <stdexcept>

namespace paribus {
namespace {

constexpr uint32_t kBlock = 256;
constexpr uint32_t kOpenBlocks = 24;  // how many of the latest blocks a node with several children may search

class Builder {
  public:
    Builder(const std::vector<std::string_view>& keys, size_t reach) : keys_(keys), reach_(reach) {}

    DoubleArray build() {
        grow();
        take(0);
        array_.check[0] = kNone;
        std::vector<Range> queue{{0, 0, static_cast<uint32_t>(keys_.size()), 0}};
        for (size_t head = 0; head < queue.size(); ++head) expand(queue, queue[head]);
        array_.order.reserve(queue.size());
        for (const Range& range : queue) array_.order.push_back(range.node);
        return std::move(array_);
    }

  private:
    struct Range {
        uint32_t node, begin, end, depth;
    };

    void expand(std::vector<Range>& queue, Range range) {
        uint32_t begin = range.begin;
        if (begin < range.end && keys_[begin].size() == range.depth) array_.value[range.node] = begin++;
        labels_.clear();
        starts_.clear();
        for (uint32_t i = begin; i < range.end; ++i) {
            const auto byte = static_cast<uint8_t>(keys_[i][range.depth]);
            if (labels_.empty() || labels_.back() != byte) {
                labels_.push_back(byte);
                starts_.push_back(i);
            }
        }
        if (labels_.empty()) return;
        starts_.push_back(range.end);
        const uint32_t base = find_base();
        array_.base[range.node] = base;
        used_[base] = true;
        for (size_t k = 0; k < labels_.size(); ++k) {
            const uint32_t child = base ^ labels_[k];
            take(child);
            array_.check[child] = range.node;
            queue.push_back({child, starts_[k], starts_[k + 1], range.depth + 1});
        }
    }

    uint32_t find_base() {
        while (first_open_ < free_.size() && free_[first_open_] == 0) ++first_open_;
        const size_t blocks = free_.size();
        if (blocks > reach_) first_open_ = std::max(first_open_, blocks - reach_);
        size_t block = first_open_;
        if (blocks > kOpenBlocks && block < blocks - kOpenBlocks) {
            if (labels_.size() > 1) block = blocks - kOpenBlocks;
        }
        for (; block < blocks; ++block) {
            if (free_[block] < labels_.size()) continue;
            uint32_t& lowest = lowest_[block];  // what lies below is taken
            while (lowest < kBlock && taken_[block * kBlock + lowest]) ++lowest;
            for (uint32_t low = lowest; low < kBlock; ++low) {
                const uint32_t slot = static_cast<uint32_t>(block) * kBlock + low;
                if (taken_[slot]) continue;
                const uint32_t base = slot ^ labels_[0];
                // Base 0 marks a leaf: its would-be children are checked against another parent and fail.
                if (base != 0 && !used_[base] && fits(base)) return base;
            }
        }
        grow();
        return static_cast<uint32_t>(blocks) * kBlock;
    }

    bool fits(uint32_t base) const {
        for (uint8_t label : labels_) {
            if (taken_[base ^ label]) return false;
        }
        return true;
    }

    void take(uint32_t slot) {
        taken_[slot] = true;
        --free_[slot / kBlock];
    }

    void grow() {
        const size_t size = taken_.size() + kBlock;
        if (size > 0x0fffffffu) throw std::length_error("the vocabulary needs more than 2^28 nodes");
        taken_.resize(size, false);
        used_.resize(size, false);
        array_.base.resize(size, 0);
        array_.check.resize(size, kNone);
        array_.value.resize(size, kNone);
        free_.push_back(kBlock);
        lowest_.push_back(0);
    }

    const std::vector<std::string_view>& keys_;
    size_t reach_;
    DoubleArray array_;
    std::vector<uint8_t> taken_, used_;  // slots, and bases: each belongs to one node
    std::vector<uint32_t> free_, lowest_;  // by block
    size_t first_open_ = 0;
    std::vector<uint8_t> labels_;
    std::vector<uint32_t> starts_;
};

}  // namespace

DoubleArray build_double_array(const std::vector<std::string_view>& keys, size_t reach) {
    return Builder(keys, reach).build();
}

}  // namespace paribus
