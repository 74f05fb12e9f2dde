#include "piece_counts.hh"

#include <algorithm>
#include <cstring>
#include <queue>

#include "model.hh"

namespace paribus {
namespace {

constexpr size_t kFirstSize = 1 << 12;
constexpr size_t kLongEntry = 96;  // an entry of the map, roughly

// A source of pieces in byte order.
struct Source {
    std::unique_ptr<RunReader> reader;
    std::vector<std::pair<std::string_view, uint64_t>> held;
    size_t at = 0;
    std::string_view piece;
    uint64_t count = 0;

    bool next() {
        if (reader) {
            if (!reader->next()) return false;
            piece = reader->piece();
            count = reader->count();
            return true;
        }
        if (at == held.size()) return false;
        piece = held[at].first;
        count = held[at].second;
        ++at;
        return true;
    }
};

}  // namespace

PieceTable::PieceTable() : slots_(kFirstSize), mask_(kFirstSize - 1) {}

void PieceTable::clear() {
    std::vector<Slot>(kFirstSize).swap(slots_);
    mask_ = kFirstSize - 1;
    used_ = long_bytes_ = 0;
    std::unordered_map<std::string, uint64_t>().swap(long_);
}

void PieceTable::add(const uint8_t* piece, size_t length, uint64_t count) {
    if (length > kInline) {
        const auto [entry, fresh] = long_.try_emplace(std::string(reinterpret_cast<const char*>(piece), length), 0);
        entry->second += count;
        if (fresh) long_bytes_ += length + kLongEntry;
        return;
    }
    Slot key;
    key.words[0] = key.words[1] = 0;
    std::memcpy(key.bytes, piece, length);
    key.bytes[kInline] = static_cast<char>(length);
    for (size_t i = hash(key) & mask_;; i = (i + 1) & mask_) {
        Slot& slot = slots_[i];
        if (slot.count == 0) {
            slot.words[0] = key.words[0];
            slot.words[1] = key.words[1];
            slot.count = count;
            if (++used_ * 3 > slots_.size() * 2) grow();
            return;
        }
        if (slot.words[0] == key.words[0] && slot.words[1] == key.words[1]) {
            slot.count += count;
            return;
        }
    }
}

void PieceTable::grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    for (const Slot& slot : old) {
        if (!slot.count) continue;
        size_t i = hash(slot) & mask_;
        while (slots_[i].count) i = (i + 1) & mask_;
        slots_[i] = slot;
    }
}

std::vector<std::pair<std::string_view, uint64_t>> PieceTable::sorted() const {
    // Pieces held in place compare as numbers: zeros behind the bytes, then the length, is byte order.
    struct Key {
        uint64_t high, low;
        const Slot* slot;
    };
    const auto number = [](const char* bytes) {
        uint64_t value = 0;
        for (unsigned k = 0; k < 8; ++k) value = value << 8 | static_cast<uint8_t>(bytes[k]);
        return value;
    };
    std::vector<Key> keys;
    keys.reserve(used_);
    for (const Slot& slot : slots_) {
        if (slot.count) keys.push_back({number(slot.bytes), number(slot.bytes + 8), &slot});
    }
    std::sort(keys.begin(), keys.end(),
              [](const Key& a, const Key& b) { return a.high != b.high ? a.high < b.high : a.low < b.low; });
    using Entry = std::pair<std::string_view, uint64_t>;
    const auto before = [](const Entry& a, const Entry& b) { return a.first < b.first; };
    std::vector<Entry> large(long_.begin(), long_.end());
    std::sort(large.begin(), large.end(), before);
    std::vector<Entry> all;
    all.reserve(size());
    for (const Key& key : keys) {
        all.emplace_back(std::string_view(key.slot->bytes, static_cast<size_t>(key.slot->bytes[kInline])), key.slot->count);
    }
    const auto middle = static_cast<ptrdiff_t>(all.size());
    all.insert(all.end(), large.begin(), large.end());
    std::inplace_merge(all.begin(), all.begin() + middle, all.end(), before);
    return all;
}

void merge_pieces(const std::vector<std::string>& paths, const std::vector<PieceTable>& tables, const RunSettings& settings,
                  const PieceSink& sink) {
    std::vector<Source> sources(paths.size() + tables.size());
    for (size_t i = 0; i < paths.size(); ++i) {
        sources[i].reader = std::make_unique<RunReader>(paths[i], RunKind::pieces);
        if (!(sources[i].reader->settings() == settings)) throw FormatError(paths[i] + ": counted with other settings");
    }
    for (size_t i = 0; i < tables.size(); ++i) sources[paths.size() + i].held = tables[i].sorted();
    const auto later = [&](size_t a, size_t b) { return sources[b].piece < sources[a].piece; };
    std::priority_queue<size_t, std::vector<size_t>, decltype(later)> heads(later);
    for (size_t i = 0; i < sources.size(); ++i) {
        if (sources[i].next()) heads.push(i);
    }
    std::string current;
    uint64_t count = 0;
    while (!heads.empty()) {
        const size_t i = heads.top();
        heads.pop();
        if (count && sources[i].piece != current) {
            sink(current, count);
            count = 0;
        }
        if (!count) current.assign(sources[i].piece);
        count += sources[i].count;
        if (sources[i].next()) heads.push(i);
    }
    if (count) sink(current, count);
}

}  // namespace paribus
