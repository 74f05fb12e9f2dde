// A list that grows by blocks: nothing is copied and nothing is held twice, and reading can free it as it goes.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace paribus {

template <typename T>
class Blocks {
  public:
    Blocks() = default;
    Blocks(const Blocks&) = delete;
    void push(const T& value) {
        if (at_ == end_) grow();
        *at_++ = value;
    }
    size_t size() const { return blocks_.size() * kBlock - static_cast<size_t>(end_ - at_); }
    const T& operator[](size_t i) const { return blocks_[i / kBlock][i % kBlock]; }
    // function(first, n) for each block in order.
    template <typename Function>
    void each(Function function) const {
        for (size_t k = 0; k < blocks_.size(); ++k) function(blocks_[k].get(), filled(k));
    }
    // The same, and each block is freed behind it.
    template <typename Function>
    void drain(Function function) {
        for (size_t k = 0; k < blocks_.size(); ++k) {
            function(static_cast<const T*>(blocks_[k].get()), filled(k));
            blocks_[k].reset();
        }
        clear();
    }
    void clear() {
        std::vector<std::unique_ptr<T[]>>().swap(blocks_);
        at_ = end_ = nullptr;
    }

  private:
    static constexpr size_t kBlock = (size_t{1} << 19) / sizeof(T);

    size_t filled(size_t k) const { return k + 1 < blocks_.size() ? kBlock : kBlock - static_cast<size_t>(end_ - at_); }
    void grow() {
        blocks_.emplace_back(new T[kBlock]);
        at_ = blocks_.back().get();
        end_ = at_ + kBlock;
    }

    std::vector<std::unique_ptr<T[]>> blocks_;
    T* at_ = nullptr;   // free places of the last block
    T* end_ = nullptr;
};

}  // namespace paribus
