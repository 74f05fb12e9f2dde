#include "piece_counts.hh"

#include <algorithm>
#include <cstring>
#include <queue>

#include "model.hh"

namespace paribus {
namespace {

constexpr size_t kFirstSize = 1 << 12;
constexpr size_t kLongEntry = 104;  // an entry of the map and its place in the order, roughly

// A source of pieces in byte order.
struct Source {
    std::unique_ptr<RunReader> run;
    std::unique_ptr<PieceTable::Reader> table;
    std::string_view piece;
    uint64_t count = 0;

    bool next() {
        if (run) {
            if (!run->next()) return false;
            piece = run->piece();
            count = run->count();
            return true;
        }
        if (!table->next()) return false;
        piece = table->piece();
        count = table->count();
        return true;
    }
};

}  // namespace

PieceTable::PieceTable() : slots_(kFirstSize), mask_(kFirstSize - 1) {}

void PieceTable::clear() {
    std::vector<Slot>(kFirstSize).swap(slots_);
    mask_ = kFirstSize - 1;
    used_ = long_bytes_ = 0;
    std::vector<const std::pair<const std::string, uint64_t>*>().swap(long_order_);
    std::unordered_map<std::string, uint64_t>().swap(long_);
    sealed_ = false;
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

void PieceTable::seal() {
    if (sealed_) return;
    sealed_ = true;
    size_t kept = 0;
    for (size_t i = 0; i < slots_.size(); ++i) {
        if (slots_[i].count) slots_[kept++] = slots_[i];
    }
    slots_.resize(kept);
    // Pieces held in place compare as numbers: zeros behind the bytes, then the length, is byte order.
    const auto number = [](const char* bytes) {
        uint64_t value = 0;
        for (unsigned k = 0; k < 8; ++k) value = value << 8 | static_cast<uint8_t>(bytes[k]);
        return value;
    };
    std::sort(slots_.begin(), slots_.end(), [&](const Slot& a, const Slot& b) {
        const uint64_t high_a = number(a.bytes), high_b = number(b.bytes);
        return high_a != high_b ? high_a < high_b : number(a.bytes + 8) < number(b.bytes + 8);
    });
    long_order_.reserve(long_.size());
    for (const auto& entry : long_) long_order_.push_back(&entry);
    std::sort(long_order_.begin(), long_order_.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
}

bool PieceTable::Reader::next() {
    const bool more = at_ < table_->slots_.size(), more_long = at_long_ < table_->long_order_.size();
    if (!more && !more_long) return false;
    const Slot* const slot = more ? &table_->slots_[at_] : nullptr;
    const std::string_view inside =
        more ? std::string_view(slot->bytes, static_cast<size_t>(slot->bytes[kInline])) : std::string_view();
    if (more_long && (!more || std::string_view(table_->long_order_[at_long_]->first) < inside)) {
        piece_ = table_->long_order_[at_long_]->first;
        count_ = table_->long_order_[at_long_]->second;
        ++at_long_;
        return true;
    }
    piece_ = inside;
    count_ = slot->count;
    ++at_;
    return true;
}

void merge_pieces(const std::vector<std::string>& paths, std::vector<PieceTable>& tables, const RunSettings& settings,
                  const PieceSink& sink) {
    std::vector<Source> sources(paths.size() + tables.size());
    for (size_t i = 0; i < paths.size(); ++i) {
        sources[i].run = std::make_unique<RunReader>(paths[i], RunKind::pieces);
        if (!(sources[i].run->settings() == settings)) throw FormatError(paths[i] + ": counted with other settings");
    }
    for (size_t i = 0; i < tables.size(); ++i) {
        tables[i].seal();
        sources[paths.size() + i].table = std::make_unique<PieceTable::Reader>(tables[i]);
    }
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
