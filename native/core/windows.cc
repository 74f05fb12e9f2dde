#include "windows.hh"

#include <algorithm>
#include <queue>

#include "give_back.hh"
#include "model.hh"
#include "parallel.hh"
#include "training_chunks.hh"

namespace paribus {
namespace {

constexpr unsigned kKeyBits = 8 * kMaxOrder + kLengthBits;
constexpr unsigned kDigitBits = 11;
constexpr size_t kPart = 1 << 18;

struct Sorted {
    std::unique_ptr<uint64_t[]> keys;
    size_t size = 0;
};

// Radix sort. The list is freed as it is read, so that no more than twice its keys are ever held.
Sorted radix_sort(Blocks<uint64_t>& list) {
    constexpr size_t kBuckets = size_t{1} << kDigitBits;
    const size_t size = list.size();
    Sorted sorted{std::unique_ptr<uint64_t[]>(new uint64_t[size]), size};
    size_t starts[kBuckets + 1] = {};
    const auto count = [&](const uint64_t* keys, size_t n, unsigned shift) {
        for (size_t i = 0; i < n; ++i) ++starts[((keys[i] >> shift) & (kBuckets - 1)) + 1];
    };
    const auto scatter = [&](const uint64_t* keys, size_t n, unsigned shift, uint64_t* to) {
        for (size_t i = 0; i < n; ++i) to[starts[(keys[i] >> shift) & (kBuckets - 1)]++] = keys[i];
    };
    const auto sum = [&] {
        for (size_t i = 0; i < kBuckets; ++i) starts[i + 1] += starts[i];
    };
    list.each([&](const uint64_t* keys, size_t n) { count(keys, n, 0); });
    sum();
    list.drain([&](const uint64_t* keys, size_t n) { scatter(keys, n, 0, sorted.keys.get()); });
    std::unique_ptr<uint64_t[]> other(new uint64_t[size]);
    for (unsigned shift = kDigitBits; shift < kKeyBits; shift += kDigitBits) {
        std::fill(starts, starts + kBuckets + 1, 0);
        count(sorted.keys.get(), size, shift);
        sum();
        scatter(sorted.keys.get(), size, shift, other.get());
        sorted.keys.swap(other);
    }
    return sorted;
}

void append_windows(const uint8_t* chunk, size_t size, unsigned order, Blocks<uint64_t>& out) {
    const unsigned padding = 8 * (kMaxOrder - order);
    const uint64_t mask = (uint64_t{1} << (8 * order)) - 1;
    uint64_t window = 0;
    // The window that starts at i is complete when the byte i + order - 1 has come in; the last ones are cut short.
    for (size_t i = 0; i < size; ++i) {
        window = (window << 8 | chunk[i]) & mask;
        if (i + 1 >= order) out.push((window << padding) << kLengthBits | order);
    }
    const size_t tail = std::min<size_t>(size, order - 1);
    for (size_t length = tail; length > 0; --length) {
        uint64_t bytes = 0;
        for (size_t k = 0; k < length; ++k) bytes = bytes << 8 | chunk[size - length + k];
        out.push(bytes << (8 * (kMaxOrder - length)) << kLengthBits | length);
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
        Blocks<uint64_t>& out = held_[worker];
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
    std::vector<Sorted> sorted(held_.size());
    parallel_for(held_.size(), threads_, [&](size_t, size_t i) { sorted[i] = radix_sort(held_[i]); });
    std::vector<size_t> at(sorted.size(), 0);
    constexpr uint64_t kEnd = ~uint64_t{0};
    while (true) {
        uint64_t low = kEnd;
        for (size_t i = 0; i < sorted.size(); ++i) {
            if (at[i] < sorted[i].size) low = std::min(low, sorted[i].keys[at[i]]);
        }
        if (low == kEnd) break;
        uint64_t count = 0;
        for (size_t i = 0; i < sorted.size(); ++i) {
            size_t k = at[i];
            while (k < sorted[i].size && sorted[i].keys[k] == low) ++k;
            count += k - at[i];
            at[i] = k;
        }
        sink(low, count);
    }
}

void WindowCounter::write(const std::string& path) {
    RunWriter writer(path, RunKind::windows, settings_);
    drain([&](uint64_t window, uint64_t count) { writer.put(window, count); });
    writer.finish();
    give_back();
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
