// Model files from anybody: whatever loads must encode, decode and sample without leaving its memory.
#include <cstring>
#include <vector>

#include "checksum.hh"
#include "decode.hh"
#include "model.hh"
#include "sampler.hh"
#include "walk.hh"

using namespace paribus;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::vector<uint8_t> file(data, data + size);
    if (size >= sizeof(Header)) {
        // Mend length and checksum, so that the damage reaches what stands behind them.
        Header header;
        std::memcpy(&header, file.data(), sizeof header);
        header.file_size = size;
        header.checksum = 0;
        header.checksum = checksum(file.data() + sizeof header, size - sizeof header, checksum(&header, sizeof header));
        std::memcpy(file.data(), &header, sizeof header);
    }
    try {
        const auto model = Model::copy(file.data(), file.size());
        const uint8_t text[] = "import os\n\n\xe7\x9a\x84\xff the of aaaaaaaaaaaaaaaaaaaaaaaa\n\t self.x = 1";
        std::vector<uint32_t> tokens;
        Walk(*model).encode(text, sizeof text, tokens);
        Sampler(*model, 0.5).sample(text, sizeof text, 1, 1, tokens);
        std::vector<char> bytes;
        decode(*model, tokens.data(), tokens.size(), bytes);
    } catch (const FormatError&) {
    }
    return 0;
}
