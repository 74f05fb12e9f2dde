// Sorted runs on disk: keys in order with their counts, compressed by what they share with the key before.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace paribus {

// A file that cannot be written or read: the disk is full, the file is gone, the device fails.
struct DiskError : std::runtime_error {
    DiskError(int code, const std::string& path);
    int code;
    std::string path;
};

enum class RunKind : uint32_t { windows = 1, pieces = 2 };

// What was counted and how: runs of different settings never merge.
struct RunSettings {
    uint32_t order = 6;
    uint16_t isolate_digits = 0;
    uint16_t nfc = 0;  // characters were composed before they came here
    uint64_t model = 0;  // of pieces: fingerprint of the n-gram model that cut them
    bool operator==(const RunSettings&) const = default;
};

struct RunInfo {
    RunKind kind;
    RunSettings settings;
    uint64_t entries;
};

// What the header of a run says.
RunInfo run_info(const std::string& path);

// Keys come in strictly increasing byte order. The file appears complete or not at all: it is written under another
// name, flushed, and renamed.
class RunWriter {
  public:
    RunWriter(const std::string& path, RunKind kind, const RunSettings& settings);
    ~RunWriter();
    RunWriter(const RunWriter&) = delete;
    void put(std::string_view piece, uint64_t count);
    void put(uint64_t window, uint64_t count);
    void finish();

  private:
    void number(uint64_t value);
    void entry();
    void flush(bool all);

    std::string path_, temporary_;
    std::FILE* file_;
    std::vector<uint8_t> buffer_;
    std::string last_;
    uint64_t last_window_ = 0, entries_ = 0, checksum_;
};

// Throws FormatError for a foreign, damaged or truncated file, at the latest when its end is reached.
class RunReader {
  public:
    RunReader(const std::string& path, RunKind kind);
    ~RunReader();
    RunReader(const RunReader&) = delete;
    // The next key, as its kind says, valid until the next call; false at the end.
    bool next();
    const std::string& piece() const { return piece_; }
    uint64_t window() const { return window_; }
    uint64_t count() const { return count_; }
    const RunSettings& settings() const { return settings_; }

  private:
    void refill();
    uint64_t number();

    std::string path_;
    std::FILE* file_;
    std::vector<uint8_t> buffer_;
    size_t at_ = 0, end_ = 0;
    bool eof_ = false;
    RunKind kind_;
    RunSettings settings_;
    std::string piece_;
    uint64_t window_ = 0, count_ = 0, left_ = 0, expected_ = 0, checksum_;
};

}  // namespace paribus
