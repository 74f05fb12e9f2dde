// The model file: a header and flat arrays that are used where they lie, so that loading is a map and a check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "automaton.hh"

namespace paribus {

// A file that is damaged, foreign or from the future; a vocabulary that cannot be one.
struct FormatError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// What must be held does not fit the memory that was given.
struct MemoryError : FormatError {
    using FormatError::FormatError;
};

constexpr uint32_t kModelVersion = 1;

// Little-endian. The sections follow in the order of the counts, each padded to 16 bytes.
struct Header {
    char magic[8];
    uint32_t version;
    uint32_t flags;
    uint64_t file_size;
    uint64_t checksum;  // of the file with this field zero
    uint32_t n_tokens;
    uint32_t n_nodes;
    uint32_t n_groups;
    uint32_t max_length;  // bytes of the longest piece
    uint64_t n_piece_bytes;
    uint64_t n_meta_bytes;
    double tilt;  // nats per byte: keeps sampling weights near one
    uint64_t reserved;
};

// What a model is made of. A special token has an empty piece and takes no part in encoding.
struct Vocabulary {
    std::vector<std::string_view> pieces;
    std::vector<double> scores;
    std::vector<uint64_t> counts;
    double tilt = 0;
    std::string_view meta;  // JSON, opaque to the core
};

class Model {
  public:
    static std::string serialize(const Vocabulary& vocabulary);
    static std::shared_ptr<const Model> map(const std::string& path);
    static std::shared_ptr<const Model> copy(const void* data, size_t size);
    ~Model();
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    uint32_t n_tokens() const { return header_->n_tokens; }
    uint32_t n_groups() const { return header_->n_groups; }
    uint32_t max_length() const { return header_->max_length; }
    double tilt() const { return header_->tilt; }
    std::string_view meta() const { return {meta_, header_->n_meta_bytes}; }
    std::string_view piece(uint32_t id) const { return {pieces_ + offsets_[id], offsets_[id + 1] - offsets_[id]}; }
    uint32_t length(uint32_t id) const { return offsets_[id + 1] - offsets_[id]; }
    const Node* nodes() const { return nodes_; }
    const Group* groups() const { return groups_; }
    const double* scores() const { return scores_; }
    const uint64_t* counts() const { return counts_; }
    const uint32_t* offsets() const { return offsets_; }
    const char* pieces() const { return pieces_; }  // readable 16 bytes past the end
    const double* byte_scores() const { return byte_scores_; }
    const uint32_t* byte_codes() const { return byte_codes_; }  // id and length 1, as in a group
    std::string_view file() const { return {data_, size_}; }

  private:
    Model() = default;
    void open();
    void validate() const;

    const char* data_ = nullptr;
    size_t size_ = 0;
    bool mapped_ = false;
    std::vector<uint64_t> owned_;
    const Header* header_ = nullptr;
    const Node* nodes_ = nullptr;
    const Group* groups_ = nullptr;
    const double* scores_ = nullptr;
    const uint64_t* counts_ = nullptr;
    const uint32_t* offsets_ = nullptr;
    const uint16_t* depths_ = nullptr;
    const char* pieces_ = nullptr;
    const char* meta_ = nullptr;
    double byte_scores_[256] = {};
    uint32_t byte_codes_[256] = {};
};

}  // namespace paribus
