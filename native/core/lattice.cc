#include "lattice.hh"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "chunks.hh"
#include "scan.hh"

namespace paribus {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// ln of the sum of exp(terms), the terms added in order.
template <typename Each>
double log_sum(Each each) {
    double high = kImpossible;
    each([&](double term) { high = std::max(high, term); });
    if (high == kImpossible) return high;
    double sum = 0;
    each([&](double term) { sum += std::exp(term - high); });
    return high + std::log(sum);
}

double log_sum(double a, double b) {
    return log_sum([=](auto use) {
        use(a);
        use(b);
    });
}

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
    struct Found {
        double score;
        uint32_t order, rank;
    };
    const size_t length = chunk.end - chunk.begin;
    std::vector<Hypothesis> all{{0, chunk.begin, 0, 0}};
    std::vector<size_t> first{0, 1};  // hypotheses of the position p are first[p] to first[p + 1]
    std::vector<Found> found;
    for (size_t p = 1; p <= length; ++p) {
        const Edge* const own = edges(chunk.begin + p);
        found.clear();
        for (uint32_t order = 0; order < n_edges(chunk.begin + p); ++order) {
            const size_t at = own[order].start - chunk.begin;
            for (size_t k = first[at]; k < first[at + 1]; ++k) {
                found.push_back({all[k].score + own[order].score, order, static_cast<uint32_t>(k - first[at])});
            }
        }
        const size_t kept = std::min(n, found.size());
        std::partial_sort(found.begin(), found.begin() + static_cast<ptrdiff_t>(kept), found.end(),
                          [](const Found& a, const Found& b) {
                              if (a.score != b.score) return a.score > b.score;
                              return a.order != b.order ? a.order < b.order : a.rank < b.rank;
                          });
        for (size_t k = 0; k < kept; ++k) {
            const Edge& edge = own[found[k].order];
            all.push_back({found[k].score, edge.start, edge.id, found[k].rank});
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
    std::vector<Joined> result{{0, 0, 0}}, pairs;
    for (const Chunk& chunk : chunks_) {
        paths.push_back(nbest_of(chunk, n));
        pairs.clear();
        for (uint32_t i = 0; i < result.size(); ++i) {
            for (uint32_t j = 0; j < paths.back().size(); ++j) {
                pairs.push_back({result[i].score + paths.back()[j].score, i, j});
            }
        }
        const size_t kept = std::min(n, pairs.size());
        std::partial_sort(pairs.begin(), pairs.begin() + static_cast<ptrdiff_t>(kept), pairs.end(),
                          [](const Joined& a, const Joined& b) {
                              if (a.score != b.score) return a.score > b.score;
                              return a.before != b.before ? a.before < b.before : a.last < b.last;
                          });
        result.assign(pairs.begin(), pairs.begin() + static_cast<ptrdiff_t>(kept));
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

void Lattice::forward(const Chunk& chunk, double alpha, std::vector<double>& log_z) const {
    log_z.assign(1, 0.0);
    for (size_t e = chunk.begin + 1; e <= chunk.end; ++e) {
        log_z.push_back(log_sum([&](auto use) {
            for (const Edge* edge = edges(e); edge < edges(e) + n_edges(e); ++edge) {
                use(log_z[edge->start - chunk.begin] + alpha * edge->score);
            }
        }));
    }
}

std::vector<Lattice::Marginal> Lattice::marginals(double alpha) const {
    std::vector<Marginal> result(edges_.size());
    std::vector<double> forward_z, backward;
    for (const Chunk& chunk : chunks_) {
        forward(chunk, alpha, forward_z);
        backward.assign(chunk.end - chunk.begin + 1, kImpossible);
        backward.back() = 0;
        for (size_t e = chunk.end; e > chunk.begin; --e) {
            for (size_t k = n_edges(e); k-- > 0;) {
                const Edge& edge = edges(e)[k];
                const size_t start = edge.start - chunk.begin;
                const double through = alpha * edge.score + backward[e - chunk.begin];
                backward[start] = log_sum(backward[start], through);
                const double p = std::exp(forward_z[start] + through - forward_z.back());
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
            for (const Edge* edge = edges(e); edge < edges(e) + n_edges(e); ++edge) {
                const size_t start = edge->start - chunk.begin;
                const double log_p = log_z[start] + alpha * edge->score - log_z[e - chunk.begin];
                h += std::exp(log_p) * (entropy[start] - log_p);
            }
            entropy.push_back(h);
        }
        total += entropy.back();
    }
    return total;
}

}  // namespace paribus
