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
    void write(const std::string& path);
    const std::vector<PieceTable>& tables() const { return tables_; }
    const RunSettings& settings() const { return settings_; }

  private:
    std::shared_ptr<const NgramModel> model_;
    RunSettings settings_;
    unsigned revision_;
    size_t memory_, threads_;
    std::vector<PieceTable> tables_;  // one a thread
};

}  // namespace paribus
