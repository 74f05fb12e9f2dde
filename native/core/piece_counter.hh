// The second pass over a corpus: cut it by the n-gram model and count the pieces.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ngrams.hh"
#include "piece_counts.hh"
#include "text.hh"

namespace paribus {

class PieceCounter {
  public:
    PieceCounter(std::shared_ptr<const NgramModel> model, const RunSettings& settings, unsigned revision, size_t memory,
                 size_t threads);

    void add(const std::vector<Text>& documents);
    // Whether the tables have reached their share; the caller then writes a run.
    bool is_full() const;
    size_t memory() const;  // bytes that the tables take
    void write(const std::string& path);
    // For merge_pieces, which puts them in order: then nothing more can be added.
    std::vector<PieceTable>& tables() { return tables_; }
    // The n-gram model is given up: nothing more can be added.
    void close() { model_.reset(); }
    const RunSettings& settings() const { return settings_; }

  private:
    std::shared_ptr<const NgramModel> model_;
    RunSettings settings_;
    unsigned revision_;
    size_t memory_, threads_;
    std::vector<PieceTable> tables_;  // one a thread
};

}  // namespace paribus
