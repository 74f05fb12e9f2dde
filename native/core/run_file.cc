#include "run_file.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "checksum.hh"
#include "model.hh"

namespace paribus {
namespace {

constexpr char kMagic[8] = {'P', 'A', 'R', 'I', 'B', 'U', 'S', 'C'};
constexpr uint32_t kVersion = 2;  // 1 did not tell whether characters were composed
constexpr size_t kBuffer = 1 << 19;
constexpr size_t kLongestEntry = 1 << 17;  // a training chunk and its numbers are shorter

struct RunHeader {
    char magic[8];
    uint32_t version;
    RunKind kind;
    RunSettings settings;
    uint64_t entries;
    uint64_t checksum;  // of the entries
};

[[noreturn]] void damaged(const std::string& path, const char* why) { throw FormatError(path + ": " + why); }

RunHeader read_header(std::FILE* file, const std::string& path) {
    RunHeader header;
    if (std::fread(&header, sizeof header, 1, file) != 1 || std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
        damaged(path, "is not a file of counts");
    }
    if (header.version == 1) damaged(path, "is of an older version, which does not tell of NFC: count again");
    if (header.version != kVersion) damaged(path, "has another format version");
    if (header.kind != RunKind::windows && header.kind != RunKind::pieces) damaged(path, "the counts are damaged");
    return header;
}

}  // namespace

RunInfo run_info(const std::string& path) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
    if (!file) throw DiskError(errno, path);
    const RunHeader header = read_header(file.get(), path);
    return {header.kind, header.settings, header.entries};
}

DiskError::DiskError(int code, const std::string& path)
    : std::runtime_error(path + ": " + std::strerror(code)), code(code), path(path) {}

RunWriter::RunWriter(const std::string& path, RunKind kind, const RunSettings& settings)
    : path_(path), temporary_(path + ".part"), checksum_(checksum(nullptr, 0)) {
    file_ = std::fopen(temporary_.c_str(), "wb");
    if (!file_) throw DiskError(errno, temporary_);
    RunHeader header{};
    std::memcpy(header.magic, kMagic, sizeof kMagic);
    header.version = kVersion;
    header.kind = kind;
    header.settings = settings;
    buffer_.reserve(kBuffer + kLongestEntry);
    if (std::fwrite(&header, sizeof header, 1, file_) != 1) {
        const int code = errno;
        std::fclose(file_);
        std::remove(temporary_.c_str());
        throw DiskError(code, temporary_);
    }
}

RunWriter::~RunWriter() {
    if (!file_) return;
    std::fclose(file_);
    std::remove(temporary_.c_str());
}

void RunWriter::number(uint64_t value) {
    for (; value >= 0x80; value >>= 7) buffer_.push_back(static_cast<uint8_t>(value | 0x80));
    buffer_.push_back(static_cast<uint8_t>(value));
}

void RunWriter::entry() {
    ++entries_;
    if (buffer_.size() >= kBuffer) flush(false);
}

void RunWriter::put(std::string_view piece, uint64_t count) {
    const size_t shorter = std::min(piece.size(), last_.size());
    size_t shared = 0;
    while (shared < shorter && piece[shared] == last_[shared]) ++shared;
    number(shared);
    number(piece.size() - shared);
    buffer_.insert(buffer_.end(), piece.begin() + static_cast<ptrdiff_t>(shared), piece.end());
    number(count);
    last_.assign(piece);
    entry();
}

void RunWriter::put(uint64_t window, uint64_t count) {
    number(window - last_window_);
    number(count);
    last_window_ = window;
    entry();
}

void RunWriter::flush(bool all) {
    const size_t size = all ? buffer_.size() : buffer_.size() / 8 * 8;
    checksum_ = checksum(buffer_.data(), size, checksum_);
    if (std::fwrite(buffer_.data(), 1, size, file_) != size) throw DiskError(errno, temporary_);
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(size));
}

void RunWriter::finish() {
    flush(true);
    // entries and checksum, the two last fields of the header
    const uint64_t fields[2] = {entries_, checksum_};
    const bool done = std::fseek(file_, offsetof(RunHeader, entries), SEEK_SET) == 0 &&
                      std::fwrite(fields, sizeof fields, 1, file_) == 1 && std::fflush(file_) == 0;
    if (!done) throw DiskError(errno, temporary_);
    std::FILE* file = file_;
    file_ = nullptr;
    if (std::fclose(file) != 0 || std::rename(temporary_.c_str(), path_.c_str()) != 0) {
        const int code = errno;
        std::remove(temporary_.c_str());
        throw DiskError(code, path_);
    }
}

RunReader::RunReader(const std::string& path, RunKind kind) : path_(path), kind_(kind), checksum_(checksum(nullptr, 0)) {
    file_ = std::fopen(path.c_str(), "rb");
    if (!file_) throw DiskError(errno, path);
    try {
        const RunHeader header = read_header(file_, path);
        if (header.kind != kind) {
            damaged(path, kind == RunKind::windows ? "holds counts of pieces, where counts of n-grams are needed"
                                                   : "holds counts of n-grams, where counts of pieces are needed");
        }
        settings_ = header.settings;
        left_ = header.entries;
        expected_ = header.checksum;
    } catch (...) {
        std::fclose(file_);
        throw;
    }
    buffer_.resize(kBuffer + kLongestEntry);
}

RunReader::~RunReader() { std::fclose(file_); }

void RunReader::refill() {
    if (eof_ || end_ - at_ >= kLongestEntry) return;
    std::memmove(buffer_.data(), buffer_.data() + at_, end_ - at_);
    end_ -= at_;
    at_ = 0;
    const size_t got = std::fread(buffer_.data() + end_, 1, kBuffer - kLongestEntry, file_);
    if (got < kBuffer - kLongestEntry) {
        if (std::ferror(file_)) throw DiskError(errno ? errno : EIO, path_);
        eof_ = true;
    }
    checksum_ = checksum(buffer_.data() + end_, got, checksum_);
    end_ += got;
}

uint64_t RunReader::number() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && at_ < end_; shift += 7) {
        const uint8_t byte = buffer_[at_++];
        value |= uint64_t{byte & 0x7fu} << shift;
        if (!(byte & 0x80)) return value;
    }
    damaged(path_, "the counts are damaged or truncated");
}

bool RunReader::next() {
    refill();
    if (left_ == 0) {
        if (at_ != end_ || !eof_ || checksum_ != expected_) damaged(path_, "the counts are damaged: wrong checksum");
        return false;
    }
    --left_;
    if (kind_ == RunKind::windows) {
        window_ += number();
    } else {
        const uint64_t shared = number();
        const uint64_t fresh = number();
        if (shared > piece_.size() || fresh > end_ - at_) damaged(path_, "the counts are damaged or truncated");
        piece_.resize(shared);
        piece_.append(reinterpret_cast<const char*>(buffer_.data()) + at_, fresh);
        at_ += fresh;
    }
    count_ = number();
    return true;
}

}  // namespace paribus
