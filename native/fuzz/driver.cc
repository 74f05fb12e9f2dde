// A fuzzer's main where there is no libFuzzer: it mutates the seed files blindly for a number of seconds and counts.
// driver SECONDS MAX_BYTES FILE...
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;

void mutate(Bytes& data, const std::vector<Bytes>& seeds, size_t limit, std::mt19937_64& random) {
    const auto below = [&](size_t n) { return n ? random() % n : 0; };
    for (size_t times = 1 + below(6); times > 0; --times) {
        const size_t at = below(data.size() + 1);
        switch (below(7)) {
            case 0: if (at < data.size()) data[at] ^= static_cast<uint8_t>(1u << below(8)); break;
            case 1: if (at < data.size()) data[at] = static_cast<uint8_t>(random()); break;
            case 2: for (size_t k = at; k < std::min(at + 4, data.size()); ++k) data[k] = below(2) ? 0xff : 0; break;
            case 3: data.resize(at); break;
            case 4: data.insert(data.begin() + static_cast<ptrdiff_t>(at), below(64), static_cast<uint8_t>(random())); break;
            case 5: data.erase(data.begin() + static_cast<ptrdiff_t>(at), data.begin() + static_cast<ptrdiff_t>(std::min(data.size(), at + below(32)))); break;
            default: {
                const Bytes& other = seeds[below(seeds.size())];
                const size_t from = below(other.size()), n = below(std::min<size_t>(other.size() - from, 256));
                data.insert(data.begin() + static_cast<ptrdiff_t>(at), other.begin() + static_cast<ptrdiff_t>(from), other.begin() + static_cast<ptrdiff_t>(from + n));
            }
        }
    }
    if (data.size() > limit) data.resize(limit);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    const double seconds = std::atof(argv[1]);
    const size_t limit = static_cast<size_t>(std::atoll(argv[2]));
    std::vector<Bytes> seeds;
    for (int k = 3; k < argc; ++k) {
        std::ifstream file(argv[k], std::ios::binary);
        seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        if (seeds.back().size() > limit) seeds.back().resize(limit);
    }
    std::mt19937_64 random(1);
    const auto began = std::chrono::steady_clock::now();
    const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
    size_t runs = 0;
    for (; elapsed() < seconds; ++runs) {
        Bytes data = seeds[random() % seeds.size()];
        if (runs >= seeds.size()) mutate(data, seeds, limit, random);
        LLVMFuzzerTestOneInput(data.data(), data.size());
    }
    std::printf("%zu executions in %.0f s, no failure\n", runs, elapsed());
}
