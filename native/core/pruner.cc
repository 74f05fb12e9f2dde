#include "pruner.hh"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "double_array.hh"
#include "model.hh"
#include "parallel.hh"

namespace paribus {
namespace {

constexpr size_t kBatchBytes = 1 << 22;
constexpr size_t kPart = 1 << 11;  // pieces that a thread takes at a time
constexpr size_t kReach = 64;      // blocks of the trie that a node may search: nearly as dense as all of them, in linear time
constexpr size_t kPieceBytes = 150;  // of a piece that is kept: bytes, counts, and its share of the trie in the making

// The unigram tokenizer of the pieces kept so far. Its trie is built once; a dropped piece gets a score of minus infinity.
class Unigram {
  public:
    explicit Unigram(const std::vector<std::string_view>& sorted) {
        const DoubleArray trie = build_double_array(sorted, kReach);
        nodes_.resize(trie.base.size());
        for (size_t i = 0; i < nodes_.size(); ++i) nodes_[i] = {trie.base[i], trie.check[i], trie.value[i]};
        scores_.resize(sorted.size());
    }

    void set_scores(const std::vector<uint64_t>& counts) {
        uint64_t total = 0;
        for (uint64_t count : counts) total += count;
        const double log_total = std::log(static_cast<double>(total));
        for (size_t i = 0; i < counts.size(); ++i) {
            scores_[i] = counts[i] ? std::log(static_cast<double>(counts[i])) - log_total
                                   : -std::numeric_limits<double>::infinity();
        }
    }

    struct Scratch {
        std::vector<double> best;
        std::vector<uint32_t> key, start;
    };

    // Add `count` to every piece of the best segmentation.
    void split(std::string_view piece, uint64_t count, std::vector<uint64_t>& flow, Scratch& scratch) const {
        const size_t size = piece.size();
        scratch.best.assign(size + 1, -std::numeric_limits<double>::infinity());
        scratch.key.resize(size + 1);
        scratch.start.resize(size + 1);
        scratch.best[0] = 0;
        for (size_t s = 0; s < size; ++s) {
            const double before = scratch.best[s];
            uint32_t node = 0;
            for (size_t e = s; e < size;) {
                const uint32_t next = nodes_[node].base ^ static_cast<uint8_t>(piece[e]);
                if (nodes_[next].check != node) break;
                node = next;
                ++e;
                const uint32_t key = nodes_[node].key;
                if (key == kNone) continue;
                const double score = before + scores_[key];
                if (score > scratch.best[e]) {
                    scratch.best[e] = score;
                    scratch.key[e] = key;
                    scratch.start[e] = static_cast<uint32_t>(s);
                }
            }
        }
        for (size_t e = size; e > 0; e = scratch.start[e]) flow[scratch.key[e]] += count;
    }

  private:
    struct TrieNode {
        uint32_t base, check, key;
    };
    std::vector<TrieNode> nodes_;
    std::vector<double> scores_;
};

class Pruner {
  public:
    Pruner(std::vector<std::string_view> pieces, std::vector<uint64_t> counts, size_t threads)
        : pieces_(std::move(pieces)), counts_(std::move(counts)), unigram_(pieces_), threads_(threads) {
        unigram_.set_scores(counts_);
    }

    const std::vector<uint64_t>& counts() const { return counts_; }
    size_t alive() const {
        return static_cast<size_t>(std::count_if(counts_.begin(), counts_.end(), [](uint64_t n) { return n > 0; }));
    }

    // Where the counts of n pieces go, each given by its number, under the scores as they stand.
    template <typename Piece>
    std::vector<uint64_t> flow(size_t n, Piece piece) const {
        const size_t parts = (n + kPart - 1) / kPart;
        std::vector<std::vector<uint64_t>> flows(std::max<size_t>(1, std::min(threads_, parts)));
        std::vector<Unigram::Scratch> scratch(flows.size());
        for (auto& one : flows) one.assign(pieces_.size(), 0);
        parallel_for(parts, flows.size(), [&](size_t worker, size_t part) {
            for (size_t i = part * kPart; i < std::min(n, (part + 1) * kPart); ++i) {
                const auto [bytes, count] = piece(i);
                if (count) unigram_.split(bytes, count, flows[worker], scratch[worker]);
            }
        });
        for (size_t k = 1; k < flows.size(); ++k) {
            for (size_t i = 0; i < pieces_.size(); ++i) flows[0][i] += flows[k][i];
        }
        return std::move(flows[0]);
    }

    void add(const std::vector<uint64_t>& flow) {
        for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += flow[i];
    }

    // Drop pieces whose best segmentation is not themselves, until none is left.
    void settle() {
        while (true) {
            const size_t before = alive();
            unigram_.set_scores(counts_);
            counts_ = flow(pieces_.size(), [&](size_t i) { return std::pair(pieces_[i], counts_[i]); });
            if (alive() == before) return;
        }
    }

    void cut(size_t size) {
        std::vector<uint32_t> ranked;
        for (uint32_t i = 0; i < counts_.size(); ++i) {
            if (counts_[i]) ranked.push_back(i);
        }
        if (ranked.size() <= size) return;
        std::sort(ranked.begin(), ranked.end(), [&](uint32_t a, uint32_t b) {
            const bool long_a = pieces_[a].size() > 1, long_b = pieces_[b].size() > 1;
            if (long_a != long_b) return long_b;
            if (counts_[a] != counts_[b]) return counts_[a] > counts_[b];
            if (pieces_[a].size() != pieces_[b].size()) return pieces_[a].size() > pieces_[b].size();
            return a < b;  // the pieces are sorted
        });
        std::vector<std::pair<std::string_view, uint64_t>> dropped;
        for (size_t k = size; k < ranked.size(); ++k) {
            dropped.emplace_back(pieces_[ranked[k]], counts_[ranked[k]]);
            counts_[ranked[k]] = 0;
        }
        unigram_.set_scores(counts_);
        add(flow(dropped.size(), [&](size_t i) { return dropped[i]; }));
        settle();
    }

    Counted result() const {
        Counted kept;
        for (size_t i = 0; i < counts_.size(); ++i) {
            if (counts_[i]) kept.emplace_back(pieces_[i], counts_[i]);
        }
        std::stable_sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a.first.size() < b.first.size(); });
        return kept;
    }

  private:
    std::vector<std::string_view> pieces_;  // sorted
    std::vector<uint64_t> counts_;          // 0: dropped
    Unigram unigram_;
    size_t threads_;
};

}  // namespace

std::vector<Counted> prune(const std::function<void(const PieceSink&)>& pieces, std::vector<size_t> sizes,
                           const PruneOptions& options) {
    const auto is_kept = [&](std::string_view piece, uint64_t count) {
        return piece.size() == 1 || (piece.size() <= options.max_piece_length && count >= options.min_count);
    };
    // Kept pieces one after the other in one string; the 256 single bytes are put in their places.
    std::string bytes;
    std::vector<size_t> ends;
    std::vector<uint64_t> counts;
    unsigned missing = 0;
    const auto keep = [&](std::string_view piece, uint64_t count) {
        if (ends.size() > options.memory / (kPieceBytes + 8 * options.threads)) {
            throw MemoryError("the pieces seen at least " + std::to_string(options.min_count) +
                              " times do not fit the memory given: raise the memory or the minimal count");
        }
        bytes.append(piece);
        ends.push_back(bytes.size());
        counts.push_back(count);
    };
    const auto fill_up_to = [&](std::string_view piece) {
        while (missing < 256) {
            const char byte = static_cast<char>(missing);
            const std::string_view single(&byte, 1);
            if (single > piece) return;
            ++missing;
            if (single == piece) return;
            keep(single, 1);
        }
    };
    pieces([&](std::string_view piece, uint64_t count) {
        fill_up_to(piece);
        if (is_kept(piece, count)) keep(piece, count);
    });
    for (; missing < 256; ++missing) {
        const char byte = static_cast<char>(missing);
        keep(std::string_view(&byte, 1), 1);
    }
    bytes.shrink_to_fit();
    std::vector<std::string_view> views;
    views.reserve(ends.size());
    for (size_t i = 0; i < ends.size(); ++i) {
        const size_t begin = i ? ends[i - 1] : 0;
        views.emplace_back(bytes.data() + begin, ends[i] - begin);
    }
    std::vector<size_t>().swap(ends);
    counts.shrink_to_fit();

    Pruner pruner(std::move(views), std::move(counts), options.threads);
    std::vector<uint64_t> gained(pruner.counts().size(), 0);
    std::string batch;
    std::vector<std::pair<size_t, uint64_t>> entries;  // (end in batch, count)
    const auto run_batch = [&] {
        const std::vector<uint64_t> flow = pruner.flow(entries.size(), [&](size_t i) {
            const size_t begin = i ? entries[i - 1].first : 0;
            return std::pair(std::string_view(batch.data() + begin, entries[i].first - begin), entries[i].second);
        });
        for (size_t i = 0; i < gained.size(); ++i) gained[i] += flow[i];
        batch.clear();
        entries.clear();
    };
    pieces([&](std::string_view piece, uint64_t count) {
        if (is_kept(piece, count)) return;
        batch.append(piece);
        entries.emplace_back(batch.size(), count);
        if (batch.size() >= kBatchBytes) run_batch();
    });
    run_batch();
    pruner.add(gained);
    pruner.settle();

    std::sort(sizes.begin(), sizes.end(), std::greater<>());
    std::vector<Counted> results;
    for (size_t size : sizes) {
        pruner.cut(size - options.n_special);
        results.push_back(pruner.result());
    }
    return results;
}

}  // namespace paribus
