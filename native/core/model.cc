#include "model.hh"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "checksum.hh"

namespace paribus {
namespace {

constexpr char kMagic[8] = {'P', 'A', 'R', 'I', 'B', 'U', 'S', 'M'};
constexpr size_t kPadding = 64;

size_t padded(uint64_t size) { return (size + kPadding - 1) / kPadding * kPadding; }

struct Layout {
    size_t nodes, groups, scores, counts, offsets, depths, pieces, meta, end;
};

Layout layout(const Header& header) {
    Layout at{};
    at.nodes = padded(sizeof(Header));
    at.groups = at.nodes + padded(uint64_t{header.n_nodes} * sizeof(Node));
    at.scores = at.groups + padded(uint64_t{header.n_groups} * sizeof(Group));
    at.counts = at.scores + padded(uint64_t{header.n_tokens} * sizeof(double));
    at.offsets = at.counts + padded(uint64_t{header.n_tokens} * sizeof(uint64_t));
    at.depths = at.offsets + padded((uint64_t{header.n_tokens} + 1) * sizeof(uint32_t));
    at.pieces = at.depths + padded(uint64_t{header.n_nodes} * sizeof(uint16_t));
    at.meta = at.pieces + padded(header.n_piece_bytes) + kPadding;  // decoding copies 16 bytes at a time
    at.end = at.meta + padded(header.n_meta_bytes);
    return at;
}

// A piece with text behind a newline lies in no chunk; it keeps its id for decoding and takes no part in encoding.
bool is_reachable(std::string_view piece) {
    const size_t newline = piece.find('\n');
    return !piece.empty() && (newline == piece.npos || piece.find_first_not_of('\n', newline) == piece.npos);
}

uint64_t file_checksum(const char* data, size_t size) {
    Header header;
    std::memcpy(&header, data, sizeof header);
    header.checksum = 0;
    return checksum(data + sizeof header, size - sizeof header, checksum(&header, sizeof header));
}

template <typename T>
void put(std::string& file, size_t at, const std::vector<T>& values) {
    if (!values.empty()) std::memcpy(file.data() + at, values.data(), values.size() * sizeof(T));
}

}  // namespace

std::string Model::serialize(const Vocabulary& vocabulary) {
    const size_t n = vocabulary.pieces.size();
    if (n > kIdMask) throw FormatError("a vocabulary holds less than 2^24 tokens");
    if (vocabulary.scores.size() != n || vocabulary.counts.size() != n) {
        throw FormatError("one score and one count for each piece");
    }
    std::vector<uint32_t> sorted;
    std::vector<uint32_t> offsets(n + 1, 0);
    uint64_t total = 0;
    size_t longest = 0;
    for (size_t i = 0; i < n; ++i) {
        offsets[i] = static_cast<uint32_t>(total);
        total += vocabulary.pieces[i].size();
        longest = std::max(longest, vocabulary.pieces[i].size());
        if (is_reachable(vocabulary.pieces[i])) sorted.push_back(static_cast<uint32_t>(i));
        if (!std::isfinite(vocabulary.scores[i])) throw FormatError("the score of a piece is not a finite number");
    }
    if (total > 0xffffffffull) throw FormatError("the pieces are longer than 4 GiB together");
    offsets[n] = static_cast<uint32_t>(total);
    std::sort(sorted.begin(), sorted.end(),
              [&](uint32_t a, uint32_t b) { return vocabulary.pieces[a] < vocabulary.pieces[b]; });

    std::vector<std::string_view> pieces;
    std::vector<double> scores;
    size_t singles = 0;
    for (uint32_t id : sorted) {
        if (!pieces.empty() && pieces.back() == vocabulary.pieces[id]) throw FormatError("a piece comes twice");
        pieces.push_back(vocabulary.pieces[id]);
        scores.push_back(vocabulary.scores[id]);
        singles += pieces.back().size() == 1;
    }
    if (singles != 256) throw FormatError("each of the 256 single bytes must be a piece");
    const Automaton automaton = build_automaton(pieces, sorted, scores);

    Header header{};
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.version = kModelVersion;
    header.n_tokens = static_cast<uint32_t>(n);
    header.n_nodes = static_cast<uint32_t>(automaton.nodes.size());
    header.n_groups = static_cast<uint32_t>(automaton.groups.size());
    header.max_length = static_cast<uint32_t>(longest);
    header.n_piece_bytes = total;
    header.n_meta_bytes = vocabulary.meta.size();
    header.tilt = vocabulary.tilt;
    const Layout at = layout(header);
    header.file_size = at.end;
    std::string file(at.end, '\0');
    put(file, at.nodes, automaton.nodes);
    put(file, at.groups, automaton.groups);
    put(file, at.scores, vocabulary.scores);
    put(file, at.counts, vocabulary.counts);
    put(file, at.offsets, offsets);
    put(file, at.depths, automaton.depths);
    size_t write = at.pieces;
    for (std::string_view piece : vocabulary.pieces) {
        if (!piece.empty()) std::memcpy(file.data() + write, piece.data(), piece.size());
        write += piece.size();
    }
    if (!vocabulary.meta.empty()) std::memcpy(file.data() + at.meta, vocabulary.meta.data(), vocabulary.meta.size());
    std::memcpy(file.data(), &header, sizeof header);
    header.checksum = file_checksum(file.data(), file.size());
    std::memcpy(file.data(), &header, sizeof header);
    return file;
}

std::shared_ptr<const Model> Model::copy(const void* data, size_t size) {
    std::shared_ptr<Model> model(new Model);
    model->owned_.resize((size + 7) / 8);
    if (size) std::memcpy(model->owned_.data(), data, size);
    model->data_ = reinterpret_cast<const char*>(model->owned_.data());
    model->size_ = size;
    model->open();
    return model;
}

std::shared_ptr<const Model> Model::map(const std::string& path) {
#if defined(_WIN32)
    std::ifstream stream(path, std::ios::binary);
    if (!stream) throw FormatError("the file cannot be opened");
    const std::string all((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    return copy(all.data(), all.size());
#else
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) throw FormatError("the file cannot be opened");
    struct stat about{};
    if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size < static_cast<off_t>(sizeof(Header))) {
        ::close(file);
        throw FormatError("the file is too short to be a model");
    }
    std::shared_ptr<Model> model(new Model);
    void* memory = ::mmap(nullptr, static_cast<size_t>(about.st_size), PROT_READ, MAP_PRIVATE, file, 0);
    ::close(file);
    if (memory == MAP_FAILED) throw FormatError("the file cannot be mapped into memory");
    model->data_ = static_cast<const char*>(memory);
    model->size_ = static_cast<size_t>(about.st_size);
    model->mapped_ = true;
    model->open();
    return model;
#endif
}

Model::~Model() {
#if !defined(_WIN32)
    if (mapped_) ::munmap(const_cast<char*>(data_), size_);
#endif
}

void Model::open() {
    if (size_ < sizeof(Header)) throw FormatError("the file is too short to be a model");
    header_ = reinterpret_cast<const Header*>(data_);
    if (std::memcmp(header_->magic, kMagic, sizeof kMagic) != 0) throw FormatError("the file is not a BytePiece model");
    if (header_->version != kModelVersion) {
        throw FormatError("the file has format version " + std::to_string(header_->version) + ", this program reads " +
                          std::to_string(kModelVersion));
    }
    if (header_->file_size != size_) {
        throw FormatError("the file has " + std::to_string(size_) + " bytes and should have " +
                          std::to_string(header_->file_size) + ": it is truncated or has grown");
    }
    if (header_->n_piece_bytes > size_ || header_->n_meta_bytes > size_) throw FormatError("the header is damaged");
    const Layout at = layout(*header_);
    if (at.end != size_) throw FormatError("the header is damaged");
    if (file_checksum(data_, size_) != header_->checksum) throw FormatError("the checksum is wrong: the file is damaged");
    nodes_ = reinterpret_cast<const Node*>(data_ + at.nodes);
    groups_ = reinterpret_cast<const Group*>(data_ + at.groups);
    scores_ = reinterpret_cast<const double*>(data_ + at.scores);
    counts_ = reinterpret_cast<const uint64_t*>(data_ + at.counts);
    offsets_ = reinterpret_cast<const uint32_t*>(data_ + at.offsets);
    depths_ = reinterpret_cast<const uint16_t*>(data_ + at.depths);
    pieces_ = data_ + at.pieces;
    meta_ = data_ + at.meta;
    validate();
    bool found[256] = {};
    for (uint32_t id = 0; id < n_tokens(); ++id) {
        if (length(id) != 1) continue;
        const auto byte = static_cast<uint8_t>(pieces_[offsets_[id]]);
        byte_scores_[byte] = scores_[id];
        byte_codes_[byte] = id | 1u << kIdBits;
        found[byte] = true;
    }
    if (std::count(found, found + 256, true) != 256) throw FormatError("a single byte is missing among the pieces");
}

// A checksum only proves that the file is what somebody wrote. After these checks no walk leaves the arrays or
// turns in a circle, whoever wrote it.
void Model::validate() const {
    const auto damaged = [](bool bad) {
        if (bad) throw FormatError("the tables contradict each other: the file is damaged");
    };
    const uint32_t n_nodes = header_->n_nodes;
    damaged(n_nodes == 0 || n_nodes % 256 != 0 || header_->n_groups == 0 || !std::isfinite(header_->tilt));
    damaged(offsets_[0] != 0 || offsets_[n_tokens()] != header_->n_piece_bytes);
    for (uint32_t id = 0; id < n_tokens(); ++id) {
        damaged(offsets_[id] > offsets_[id + 1] || !std::isfinite(scores_[id]));
        damaged(length(id) > max_length());
    }
    damaged(groups_[header_->n_groups - 1].more != 0);
    for (uint32_t i = 0; i < header_->n_groups; ++i) {
        for (unsigned k = 0; k < 4; ++k) {
            if (groups_[i].scores[k] == kNothing) {
                damaged(groups_[i].codes[k] != 0 || groups_[i].back[k] != -1);
                continue;
            }
            const uint32_t id = groups_[i].codes[k] & kIdMask;
            damaged(id >= n_tokens() || length(id) < 2);
            damaged(groups_[i].scores[k] != scores_[id] || -groups_[i].back[k] != static_cast<int64_t>(length(id)));
            damaged(groups_[i].codes[k] >> kIdBits != std::min(length(id), kLongLength));
        }
    }
    damaged(depths_[0] != 0);
    for (uint32_t i = 0; i < n_nodes; ++i) {
        const Node& node = nodes_[i];
        const auto outside = [&](uint32_t offset) { return offset >= uint64_t{n_nodes} << kNodeBits || offset % sizeof(Node); };
        damaged(outside(node.base) || outside(node.fail) || node.out >= header_->n_groups);
        if (i == 0 || node.check == kNone) continue;
        damaged(depths_[node.fail >> kNodeBits] >= depths_[i]);
    }
    for (uint32_t byte = 0; byte < 256; ++byte) {
        damaged(nodes_[(nodes_[0].base >> kNodeBits) ^ byte].check != nodes_[0].base);
    }
}

}  // namespace paribus
