#include "piece_counter.hh"

#include <algorithm>
#include <stdexcept>

#include "give_back.hh"
#include "parallel.hh"
#include "segmenter.hh"
#include "training_chunks.hh"

namespace paribus {
namespace {

constexpr size_t kPart = 1 << 17;

}  // namespace

PieceCounter::PieceCounter(std::shared_ptr<const NgramModel> model, const RunSettings& settings, unsigned revision,
                           size_t memory, size_t threads)
    : model_(std::move(model)), settings_(settings), revision_(revision), memory_(memory),
      threads_(std::max<size_t>(threads, 1)), tables_(threads_) {
    settings_.model = model_->fingerprint() * 31 + revision;
}

void PieceCounter::add(const std::vector<Text>& documents) {
    if (!model_) throw std::logic_error("the counting of pieces is closed");
    const std::vector<Text> parts = in_parts(documents, kPart);
    std::vector<Segmenter> segmenters(threads_, Segmenter(*model_, revision_));
    parallel_for(parts.size(), threads_, [&](size_t worker, size_t i) {
        const Text text = parts[i];
        for (size_t begin = 0; begin < text.size;) {
            const size_t end = training_chunk_end(text.data, begin, text.size, settings_.isolate_digits != 0);
            segmenters[worker].count(text.data + begin, end - begin, tables_[worker]);
            begin = end;
        }
    });
}

size_t PieceCounter::memory() const {
    size_t sum = 0;
    for (const PieceTable& table : tables_) sum += table.memory();
    return sum;
}

bool PieceCounter::is_full() const {
    return memory() * 3 > memory_;  // while a table doubles, the old one stands beside the new one
}

void PieceCounter::write(const std::string& path) {
    RunWriter writer(path, RunKind::pieces, settings_);
    merge_pieces({}, tables_, settings_, [&](std::string_view piece, uint64_t count) { writer.put(piece, count); });
    writer.finish();
    for (PieceTable& table : tables_) table.clear();
    give_back();
}

}  // namespace paribus
