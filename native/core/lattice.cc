#include "lattice.hh"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <utility>

#include "chunks.hh"
#include "scan.hh"

namespace paribus {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// Sorted lists become one: the best score first, among equals that of the earliest list, and of one list its own order.
// a < b says that a comes after b, since the top of a std::priority_queue is the largest.
struct Next {
    double score;
    uint32_t list, rank;
    friend bool operator<(const Next& a, const Next& b) {
        if (a.score != b.score) return a.score < b.score;
        return a.list != b.list ? a.list > b.list : a.rank > b.rank;
    }
};

}  // namespace

Lattice::Lattice(const Model& model, const uint8_t* text, size_t size) {
    std::vector<uint32_t> groups(size);
    Place place = root(model);
    scan(model, text, size, place, groups.data());
    first_.reserve(size + 1);
    first_.push_back(0);
    for (size_t i = 0; i < size; ++i) {
        for (const Group* group = model.groups() + groups[i];; ++group) {
            for (unsigned k = 0; k < 4; ++k) {
                if (group->scores[k] == kNothing) continue;
                const uint64_t start = i + 1 - static_cast<uint64_t>(-group->back[k]);
                edges_.push_back({start, group->codes[k] & kIdMask, group->scores[k]});
            }
            if (!group->more) break;
        }
        edges_.push_back({i, model.byte_codes()[text[i]] & kIdMask, model.byte_scores()[text[i]]});
        first_.push_back(edges_.size());
    }
    for (size_t begin = 0; begin < size;) {
        const size_t end = chunk_end(text, begin, size);
        chunks_.push_back({begin, end});
        begin = end;
    }
}

std::vector<Lattice::Path> Lattice::nbest_of(const Chunk& chunk, size_t n) const {
    struct Hypothesis {
        double score;
        uint64_t start;
        uint32_t id, rank;
    };
    const size_t length = chunk.end - chunk.begin;
    std::vector<Hypothesis> all{{0, chunk.begin, 0, 0}};
    std::vector<size_t> first{0, 1};  // hypotheses of the position p are first[p] to first[p + 1]
    for (size_t p = 1; p <= length; ++p) {
        // The hypotheses at the start of an edge are in order, and adding its score to each of them keeps that order.
        const Edge* const own = edges(chunk.begin + p);
        std::priority_queue<Next> next;
        const auto enter = [&](uint32_t order, uint32_t rank) {
            const size_t at = own[order].start - chunk.begin, k = first[at] + rank;
            if (k < first[at + 1]) next.push({all[k].score + own[order].score, order, rank});
        };
        for (uint32_t order = 0; order < n_edges(chunk.begin + p); ++order) enter(order, 0);
        for (size_t kept = 0; kept < n && !next.empty(); ++kept) {
            const Next best = next.top();
            next.pop();
            all.push_back({best.score, own[best.list].start, own[best.list].id, best.rank});
            enter(best.list, best.rank + 1);
        }
        first.push_back(all.size());
    }
    std::vector<Path> paths;
    for (size_t k = first[length]; k < first[length + 1]; ++k) {
        Path path{all[k].score, {}};
        for (size_t at = length, here = k; at > 0;) {
            path.ids.push_back(all[here].id);
            at = all[here].start - chunk.begin;
            here = first[at] + all[here].rank;
        }
        std::reverse(path.ids.begin(), path.ids.end());
        paths.push_back(std::move(path));
    }
    return paths;
}

std::vector<Lattice::Path> Lattice::nbest(size_t n) const {
    struct Joined {
        double score;
        uint32_t before, last;
    };
    // layers[c]: the best ways through the chunks up to c, each a way through those before and a path of chunk c.
    std::vector<std::vector<Joined>> layers;
    std::vector<std::vector<Path>> paths;
    std::vector<Joined> result{{0, 0, 0}};
    for (const Chunk& chunk : chunks_) {
        paths.push_back(nbest_of(chunk, n));
        const std::vector<Path>& last = paths.back();
        // Both lists are in order: a pair comes after the one with the path before, and the first pair of a way after
        // the first pair of the way before, also where rounding makes their scores equal.
        std::priority_queue<Next> next;
        next.push({result[0].score + last[0].score, 0, 0});
        std::vector<Joined> joined;
        while (joined.size() < n && !next.empty()) {
            const Next best = next.top();
            next.pop();
            joined.push_back({best.score, best.list, best.rank});
            const uint32_t way = best.list + 1, path = best.rank + 1;
            if (path < last.size()) next.push({result[best.list].score + last[path].score, best.list, path});
            if (best.rank == 0 && way < result.size()) next.push({result[way].score + last[0].score, way, 0});
        }
        result = std::move(joined);
        layers.push_back(result);
    }
    std::vector<Path> best;
    for (const Joined& last : result) {
        Path path{last.score, {}};
        std::vector<uint32_t> through(chunks_.size());
        for (size_t c = chunks_.size(), at = static_cast<size_t>(&last - result.data()); c-- > 0;) {
            through[c] = layers[c][at].last;
            at = layers[c][at].before;
        }
        for (size_t c = 0; c < chunks_.size(); ++c) {
            const std::vector<uint32_t>& ids = paths[c][through[c]].ids;
            path.ids.insert(path.ids.end(), ids.begin(), ids.end());
        }
        best.push_back(std::move(path));
    }
    return best;
}

Lattice::Last Lattice::last(const Chunk& chunk, double alpha, const std::vector<double>& log_z, size_t e) const {
    Last last{kImpossible, 0};
    const auto each = [&](auto use) {
        for (const Edge* edge = edges(e); edge < edges(e) + n_edges(e); ++edge) {
            use(log_z[edge->start - chunk.begin] + alpha * edge->score);
        }
    };
    each([&](double term) { last.high = std::max(last.high, term); });
    each([&](double term) { last.sum += std::exp(term - last.high); });
    return last;
}

void Lattice::forward(const Chunk& chunk, double alpha, std::vector<double>& log_z) const {
    log_z.assign(1, 0.0);
    for (size_t e = chunk.begin + 1; e <= chunk.end; ++e) {
        const Last here = last(chunk, alpha, log_z, e);
        log_z.push_back(here.high + std::log(here.sum));
    }
}

std::vector<Lattice::Marginal> Lattice::marginals(double alpha) const {
    std::vector<Marginal> result(edges_.size());
    std::vector<double> log_z, reached;
    for (const Chunk& chunk : chunks_) {
        forward(chunk, alpha, log_z);
        reached.assign(chunk.end - chunk.begin + 1, 0.0);
        reached.back() = 1;
        for (size_t e = chunk.end; e > chunk.begin; --e) {
            const Last here = last(chunk, alpha, log_z, e);
            for (size_t k = n_edges(e); k-- > 0;) {
                const Edge& edge = edges(e)[k];
                const size_t start = edge.start - chunk.begin;
                const double p = reached[e - chunk.begin] * (std::exp(log_z[start] + alpha * edge.score - here.high) / here.sum);
                reached[start] += p;
                result[static_cast<size_t>(&edge - edges_.data())] = {edge.start, e, edge.id, p};
            }
        }
    }
    return result;
}

double Lattice::entropy(double alpha) const {
    double total = 0;
    std::vector<double> log_z, entropy;
    for (const Chunk& chunk : chunks_) {
        forward(chunk, alpha, log_z);
        entropy.assign(1, 0.0);
        for (size_t e = chunk.begin + 1; e <= chunk.end; ++e) {
            double h = 0;
            const Last here = last(chunk, alpha, log_z, e);
            const double log_sum = std::log(here.sum);
            for (const Edge* edge = edges(e); edge < edges(e) + n_edges(e); ++edge) {
                const size_t start = edge->start - chunk.begin;
                const double log_p = (log_z[start] + alpha * edge->score - here.high) - log_sum;
                h += std::exp(log_p) * (entropy[start] - log_p);
            }
            entropy.push_back(h);
        }
        total += entropy.back();
    }
    return total;
}

}  // namespace paribus
