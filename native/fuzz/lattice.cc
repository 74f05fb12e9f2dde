// Texts: the best of the n best is the walk's, probabilities over each byte sum to one, the entropy is not negative.
#include <cmath>
#include <cstdlib>
#include <vector>

#include "fixture.hh"
#include "lattice.hh"
#include "walk.hh"

using namespace paribus;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const auto model = fixture_model();
    if (size < 2) return 0;
    const double alpha = data[0] / 64.0;
    const size_t n = 1 + data[1] % 5u;
    data += 2;
    size -= 2;
    const Lattice lattice(*model, data, size);
    std::vector<uint32_t> best;
    Walk(*model).encode(data, size, best);
    const auto paths = lattice.nbest(n);
    if (paths.empty() || paths.front().ids != best) std::abort();
    for (size_t k = 1; k < paths.size(); ++k) {
        if (paths[k].score > paths[k - 1].score) std::abort();
    }
    std::vector<double> covered(size, 0);
    for (const Lattice::Marginal& one : lattice.marginals(alpha)) {
        for (size_t at = one.start; at < one.end; ++at) covered[at] += one.probability;
    }
    for (double sum : covered) {
        if (!(std::fabs(sum - 1) < 1e-6)) std::abort();
    }
    if (!(lattice.entropy(alpha) > -1e-6)) std::abort();
    return 0;
}
