// Texts: whole, in parts and sampled, what comes out decodes to what went in; parts give the tokens of the whole.
#include <cstdlib>
#include <vector>

#include "decode.hh"
#include "fixture.hh"
#include "sampler.hh"
#include "walk.hh"

using namespace paribus;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const auto model = fixture_model();
    static Walk walk(*model);
    static Sampler sampler(*model, 0.5), far(*model, 2000);  // far: with logarithms
    if (size == 0) return 0;
    const size_t part = data[0] + size_t{1};
    std::vector<uint32_t> whole, parts, drawn, likely;
    walk.encode(data, size, whole);
    for (size_t begin = 0; begin < size; begin += part) walk.feed(data + begin, std::min(part, size - begin), parts);
    walk.finish(parts);
    sampler.sample(data, size, 1, size, drawn);
    far.sample(data, size, 1, size, likely);
    if (whole != parts) std::abort();
    for (const auto* tokens : {&whole, &drawn, &likely}) {
        std::vector<char> bytes;
        const size_t n = decode(*model, tokens->data(), tokens->size(), bytes);
        if (n != size || !std::equal(data, data + size, reinterpret_cast<const uint8_t*>(bytes.data()))) std::abort();
    }
    return 0;
}
