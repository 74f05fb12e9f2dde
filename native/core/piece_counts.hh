// Counts of pieces: a hash table that holds short pieces in place, and sorted runs on disk when it is full.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "run_file.hh"

namespace paribus {

using PieceSink = std::function<void(std::string_view piece, uint64_t count)>;

class PieceTable {
  public:
    PieceTable();
    void add(const uint8_t* piece, size_t length, uint64_t count = 1);
    size_t memory() const { return slots_.size() * sizeof(Slot) + long_bytes_; }
    // Put the pieces in byte order, where they lie; after that nothing can be added until clear().
    void seal();
    void clear();

    // The pieces of a sealed table in order.
    class Reader {
      public:
        explicit Reader(const PieceTable& table) : table_(&table) {}
        bool next();
        std::string_view piece() const { return piece_; }
        uint64_t count() const { return count_; }

      private:
        const PieceTable* table_;
        size_t at_ = 0, at_long_ = 0;
        std::string_view piece_;
        uint64_t count_ = 0;
    };

  private:
    static constexpr size_t kInline = 15;
    struct Slot {
        union {
            char bytes[16];  // the piece, zeros, and its length in the last byte
            uint64_t words[2];
        };
        uint64_t count;  // 0 is free
    };

    static size_t hash(const Slot& slot) {
        const uint64_t mixed = (slot.words[0] ^ (slot.words[1] * 0xff51afd7ed558ccdull)) * 0x9e3779b97f4a7c15ull;
        return static_cast<size_t>(mixed ^ (mixed >> 32));
    }
    void grow();

    std::vector<Slot> slots_;
    size_t mask_, used_ = 0, long_bytes_ = 0;
    std::unordered_map<std::string, uint64_t> long_;
    std::vector<const std::pair<const std::string, uint64_t>*> long_order_;
    bool sealed_ = false;
};

// Tables, which are sealed, and runs merged in byte order.
void merge_pieces(const std::vector<std::string>& paths, std::vector<PieceTable>& tables, const RunSettings& settings,
                  const PieceSink& sink);

}  // namespace paribus
