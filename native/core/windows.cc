#include "windows.hh"

#include <algorithm>
#include <queue>

#include "model.hh"
#include "parallel.hh"
#include "training_chunks.hh"

namespace paribus {
namespace {

constexpr unsigned kKeyBits = 8 * kMaxOrder + kLengthBits;
constexpr unsigned kDigitBits = 11;
constexpr size_t kPart = 1 << 18;

void radix_sort(std::vector<uint64_t>& keys) {
    constexpr size_t kBuckets = size_t{1} << kDigitBits;
    std::vector<uint64_t> other(keys.size());
    for (unsigned shift = 0; shift < kKeyBits; shift += kDigitBits) {
        size_t starts[kBuckets + 1] = {};
        for (uint64_t key : keys) ++starts[((key >> shift) & (kBuckets - 1)) + 1];
        for (size_t i = 0; i < kBuckets; ++i) starts[i + 1] += starts[i];
        for (uint64_t key : keys) other[starts[(key >> shift) & (kBuckets - 1)]++] = key;
        keys.swap(other);
    }
}

void append_windows(const uint8_t* chunk, size_t size, unsigned order, std::vector<uint64_t>& out) {
    const unsigned padding = 8 * (kMaxOrder - order);
    const uint64_t mask = (uint64_t{1} << (8 * order)) - 1;
    uint64_t window = 0;
    // The window that starts at i is complete when the byte i + order - 1 has come in; the last ones are cut short.
    for (size_t i = 0; i < size; ++i) {
        window = (window << 8 | chunk[i]) & mask;
        if (i + 1 >= order) out.push_back((window << padding) << kLengthBits | order);
    }
    const size_t tail = std::min<size_t>(size, order - 1);
    for (size_t length = tail; length > 0; --length) {
        uint64_t bytes = 0;
        for (size_t k = 0; k < length; ++k) bytes = bytes << 8 | chunk[size - length + k];
        out.push_back(bytes << (8 * (kMaxOrder - length)) << kLengthBits | length);
    }
}

}  // namespace

WindowCounter::WindowCounter(const RunSettings& settings, size_t memory, size_t threads)
    : settings_(settings), memory_(memory), threads_(std::max<size_t>(threads, 1)), held_(threads_) {
    if (settings.order < 2 || settings.order > kMaxOrder) throw FormatError("the order of the n-grams is 2 to 6");
}

void WindowCounter::add(const std::vector<Text>& documents) {
    const std::vector<Text> parts = in_parts(documents, kPart);
    parallel_for(parts.size(), threads_, [&](size_t worker, size_t i) {
        const Text text = parts[i];
        std::vector<uint64_t>& out = held_[worker];
        if (out.capacity() < out.size() + text.size) {  // grow gently: doubling would pass the limit
            out.reserve(out.size() + std::max(text.size, out.size() / 4));
        }
        for (size_t begin = 0; begin < text.size;) {
            const size_t end = training_chunk_end(text.data, begin, text.size, settings_.isolate_digits != 0);
            append_windows(text.data + begin, end - begin, settings_.order, out);
            begin = end;
        }
    });
}

size_t WindowCounter::size() const {
    size_t sum = 0;
    for (const auto& one : held_) sum += one.size();
    return sum;
}

void WindowCounter::drain(const WindowSink& sink) {
    parallel_for(held_.size(), threads_, [&](size_t, size_t i) { radix_sort(held_[i]); });
    std::vector<size_t> at(held_.size(), 0);
    constexpr uint64_t kEnd = ~uint64_t{0};
    while (true) {
        uint64_t low = kEnd;
        for (size_t i = 0; i < held_.size(); ++i) {
            if (at[i] < held_[i].size()) low = std::min(low, held_[i][at[i]]);
        }
        if (low == kEnd) break;
        uint64_t count = 0;
        for (size_t i = 0; i < held_.size(); ++i) {
            size_t k = at[i];
            const std::vector<uint64_t>& keys = held_[i];
            while (k < keys.size() && keys[k] == low) ++k;
            count += k - at[i];
            at[i] = k;
        }
        sink(low, count);
    }
    for (auto& one : held_) std::vector<uint64_t>().swap(one);
}

void WindowCounter::write(const std::string& path) {
    RunWriter writer(path, RunKind::windows, settings_);
    drain([&](uint64_t window, uint64_t count) { writer.put(window, count); });
    writer.finish();
}

void merge_windows(const std::vector<std::string>& paths, WindowCounter* rest, const RunSettings& settings,
                   const WindowSink& sink) {
    std::vector<std::unique_ptr<RunReader>> readers;
    using Head = std::pair<uint64_t, size_t>;
    std::priority_queue<Head, std::vector<Head>, std::greater<>> heads;
    const auto advance = [&](size_t i) {
        if (readers[i]->next()) heads.emplace(readers[i]->window(), i);
    };
    for (const std::string& path : paths) {
        readers.push_back(std::make_unique<RunReader>(path, RunKind::windows));
        if (!(readers.back()->settings() == settings)) throw FormatError(path + ": counted with other settings");
        advance(readers.size() - 1);
    }
    uint64_t current = 0, count = 0;
    const auto take = [&](uint64_t window, uint64_t n) {
        if (count && window != current) {
            sink(current, count);
            count = 0;
        }
        current = window;
        count += n;
    };
    const auto take_below = [&](uint64_t limit) {
        while (!heads.empty() && heads.top().first <= limit) {
            const auto [window, i] = heads.top();
            heads.pop();
            take(window, readers[i]->count());
            advance(i);
        }
    };
    if (rest) {
        rest->drain([&](uint64_t window, uint64_t n) {
            take_below(window);
            take(window, n);
        });
    }
    take_below(~uint64_t{0});
    if (count) sink(current, count);
}

}  // namespace paribus
