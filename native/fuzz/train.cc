// Corpora: every piece of the vocabulary that comes out is one token of it; damaged counts are errors.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "model.hh"
#include "piece_counter.hh"
#include "pruner.hh"
#include "walk.hh"
#include "windows.hh"

using namespace paribus;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 4) return 0;
    const RunSettings settings{2 + data[0] % 5u, static_cast<uint16_t>(data[1] & 1u), 0, 0};
    const uint64_t min_count = 1 + data[2] % 4u;
    const unsigned revision = 1 + (data[1] >> 1 & 1u);
    const std::vector<Text> texts{{data + 3, size - 3}, {data + 3, (size - 3) / 2}};
    WindowCounter windows(settings, 1 << 24, 1);
    windows.add(texts);
    const auto model = std::make_shared<NgramModel>(settings, min_count, size_t{1} << 28);
    merge_windows({}, &windows, settings, [&](uint64_t window, uint64_t n) { model->add(window, n); });
    model->finish();
    PieceCounter pieces(model, settings, revision, 1 << 24, 1);
    pieces.add(texts);
    const PruneOptions options{min_count, 1 + data[2] / 4u, 3, 1};
    const auto found = prune(
        [&](const PieceSink& sink) { merge_pieces({}, pieces.tables(), pieces.settings(), sink); }, {400, 259}, options);
    for (const Counted& counted : found) {
        Vocabulary vocabulary;
        uint64_t total = 0;
        for (const auto& [piece, n] : counted) total += n;
        for (const auto& [piece, n] : counted) {
            vocabulary.pieces.push_back(piece);
            vocabulary.scores.push_back(std::log(static_cast<double>(n)) - std::log(static_cast<double>(total)));
            vocabulary.counts.push_back(n);
        }
        const std::string file = Model::serialize(vocabulary);
        const auto own = Model::copy(file.data(), file.size());
        Walk walk(*own);
        for (uint32_t id = 0; id < own->n_tokens(); ++id) {
            const std::string_view piece = own->piece(id);
            std::vector<uint32_t> tokens;
            walk.encode(reinterpret_cast<const uint8_t*>(piece.data()), piece.size(), tokens);
            if (tokens != std::vector<uint32_t>{id}) std::abort();
        }
    }
    return 0;
}
