// Token ids from anybody: bytes or an error that names the id.
#include <cstring>
#include <stdexcept>
#include <vector>

#include "decode.hh"
#include "fixture.hh"

using namespace paribus;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const auto model = fixture_model();
    if (size == 0) return 0;
    std::vector<uint32_t> tokens((size - 1) / 2);
    for (size_t i = 0; i < tokens.size(); ++i) {
        uint16_t id;
        std::memcpy(&id, data + 1 + 2 * i, 2);
        tokens[i] = data[0] & 1 ? id : id % model->n_tokens();
    }
    std::vector<char> bytes;
    try {
        decode(*model, tokens.data(), tokens.size(), bytes);
    } catch (const std::out_of_range&) {
    }
    return 0;
}
