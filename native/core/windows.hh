// Counting n-grams of all orders at once: sort the windows of `order` bytes, and every n-gram is a run of equal prefixes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "blocks.hh"
#include "run_file.hh"
#include "text.hh"

namespace paribus {

// A window: up to 6 bytes, big-endian and padded with zeros, then its length in 3 bits.
constexpr unsigned kMaxOrder = 6;
constexpr unsigned kLengthBits = 3;

// Takes (window, count) in increasing order of windows.
using WindowSink = std::function<void(uint64_t window, uint64_t count)>;

class WindowCounter {
  public:
    // memory: bytes for the windows of all threads together.
    WindowCounter(const RunSettings& settings, size_t memory, size_t threads);

    // Count the documents. Keeps 16 bytes of each byte; the caller writes a run when is_full().
    void add(const std::vector<Text>& documents);
    size_t size() const;  // windows held
    bool is_full(size_t next_bytes) const { return (size() + next_bytes) * 16 > memory_; }
    // Everything held, in order, and forgotten.
    void drain(const WindowSink& sink);
    void write(const std::string& path);

  private:
    RunSettings settings_;
    size_t memory_, threads_;
    std::vector<Blocks<uint64_t>> held_;  // one a thread
};

// Runs on disk and what a counter still holds, merged in order.
void merge_windows(const std::vector<std::string>& paths, WindowCounter* rest, const RunSettings& settings,
                   const WindowSink& sink);

}  // namespace paribus
