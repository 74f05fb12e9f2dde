// Training for Python, whose side reads, names the runs and keeps the journal; the core counts and prunes.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "bind.hh"
#include "give_back.hh"
#include "model.hh"
#include "ngrams.hh"
#include "piece_counter.hh"
#include "pruner.hh"
#include "run_file.hh"
#include "training_chunks.hh"
#include "windows.hh"

namespace paribus::python {

namespace {

RunSettings settings_of(unsigned order, bool isolate_digits, bool nfc) {
    return {order, static_cast<uint16_t>(isolate_digits), static_cast<uint16_t>(nfc), 0};
}

class NgramPass {
  public:
    NgramPass(unsigned order, bool isolate_digits, bool nfc, size_t memory, size_t threads)
        : settings_(settings_of(order, isolate_digits, nfc)), counter_(settings_, memory, threads) {}
    NgramPass(const NgramPass&) = delete;

    void add(nb::list documents) {
        const std::vector<Text> texts = texts_of(documents);
        const nb::gil_scoped_release released;
        counter_.add(texts);
    }
    bool is_full(size_t next_bytes) const { return counter_.is_full(next_bytes); }
    size_t size() const { return counter_.size(); }
    void write(const std::string& path) {
        const nb::gil_scoped_release released;
        counter_.write(path);
    }
    std::shared_ptr<NgramModel> finish(const std::vector<std::string>& paths, uint64_t min_count, size_t memory) {
        const nb::gil_scoped_release released;
        auto model = std::make_shared<NgramModel>(settings_, min_count, memory);
        merge_windows(paths, &counter_, settings_, [&](uint64_t window, uint64_t n) { model->add(window, n); });
        model->finish();
        give_back();
        return model;
    }

  private:
    RunSettings settings_;
    WindowCounter counter_;
};

class PiecePass {
  public:
    PiecePass(std::shared_ptr<NgramModel> model, unsigned order, bool isolate_digits, bool nfc, unsigned revision,
              size_t memory, size_t threads)
        : counter_(model, settings_of(order, isolate_digits, nfc), revision, memory, threads) {}

    void add(nb::list documents) {
        const std::vector<Text> texts = texts_of(documents);
        const nb::gil_scoped_release released;
        counter_.add(texts);
    }
    bool is_full() const { return counter_.is_full(); }
    void write(const std::string& path) {
        const nb::gil_scoped_release released;
        counter_.write(path);
    }
    uint64_t fingerprint() const { return counter_.settings().model; }
    size_t memory() const { return counter_.memory(); }
    // Ends the counting: the n-gram model is not needed any more.
    nb::list prune(const std::vector<std::string>& paths, const std::vector<size_t>& sizes, uint64_t min_count,
                   size_t max_piece_length, size_t threads, size_t memory) {
        std::vector<Counted> vocabularies;
        {
            const nb::gil_scoped_release released;
            counter_.close();
            give_back();
            const PruneOptions options{min_count, max_piece_length, 3, threads, memory};
            vocabularies = paribus::prune(
                [&](const PieceSink& sink) { merge_pieces(paths, counter_.tables(), counter_.settings(), sink); }, sizes, options);
        }
        nb::list results;
        for (const Counted& vocabulary : vocabularies) {
            nb::list pieces;
            std::vector<uint64_t> counts;
            for (const auto& [piece, count] : vocabulary) {
                pieces.append(nb::bytes(piece.data(), piece.size()));
                counts.push_back(count);
            }
            results.append(nb::make_tuple(pieces, array(counts.data(), counts.size())));
        }
        return results;
    }

  private:
    PieceCounter counter_;
};

// Several runs of one kind into one, in the memory of a buffer for each.
void merge_runs(const std::vector<std::string>& paths, const std::string& out) {
    if (paths.empty()) throw FormatError("nothing to merge");
    const nb::gil_scoped_release released;
    const RunInfo info = run_info(paths.front());
    RunWriter writer(out, info.kind, info.settings);
    if (info.kind == RunKind::windows) {
        merge_windows(paths, nullptr, info.settings, [&](uint64_t window, uint64_t n) { writer.put(window, n); });
    } else {
        std::vector<PieceTable> none;
        merge_pieces(paths, none, info.settings, [&](std::string_view piece, uint64_t n) { writer.put(piece, n); });
    }
    writer.finish();
}

// Where a text may be cut so that training sees the same: the first end of a training chunk at or behind begin + size.
size_t training_cut(nb::bytes data, size_t begin, size_t size, bool isolate_digits) {
    const Text text = text_of(data);
    const size_t least = begin + std::min(size, text.size - std::min(begin, text.size));
    while (begin < least) begin = training_chunk_end(text.data, begin, text.size, isolate_digits);
    return begin;
}

nb::dict describe_run(const std::string& path) {
    const RunInfo info = run_info(path);
    nb::dict about;
    about["kind"] = info.kind == RunKind::windows ? "n-grams" : "pieces";
    about["order"] = info.settings.order;
    about["isolate_digits"] = info.settings.isolate_digits != 0;
    about["nfc"] = info.settings.nfc != 0;
    about["model"] = info.settings.model;
    about["entries"] = info.entries;
    return about;
}

}  // namespace

void bind_training(nb::module_& module) {
    nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
        try {
            std::rethrow_exception(pointer);
        } catch (const DiskError& error) {
            errno = error.code;
            PyErr_SetFromErrnoWithFilename(PyExc_OSError, error.path.c_str());
        }
    });

    nb::class_<NgramModel>(module, "NgramModel")
        .def_prop_ro("order", &NgramModel::order)
        .def_prop_ro("size", &NgramModel::size)
        .def_prop_ro("counted", &NgramModel::counted)
        .def_prop_ro("fingerprint", &NgramModel::fingerprint);
    nb::class_<NgramPass>(module, "NgramPass")
        .def(nb::init<unsigned, bool, bool, size_t, size_t>(), nb::arg("order"), nb::arg("isolate_digits"), nb::arg("nfc"),
             nb::arg("memory"), nb::arg("threads"))
        .def("add", &NgramPass::add, nb::arg("documents"))
        .def("is_full", &NgramPass::is_full, nb::arg("next_bytes"))
        .def_prop_ro("size", &NgramPass::size)
        .def("write", &NgramPass::write, nb::arg("path"))
        .def("finish", &NgramPass::finish, nb::arg("paths"), nb::arg("min_count"), nb::arg("memory"));
    nb::class_<PiecePass>(module, "PiecePass")
        .def(nb::init<std::shared_ptr<NgramModel>, unsigned, bool, bool, unsigned, size_t, size_t>(), nb::arg("model"),
             nb::arg("order"), nb::arg("isolate_digits"), nb::arg("nfc"), nb::arg("revision"), nb::arg("memory"),
             nb::arg("threads"))
        .def("add", &PiecePass::add, nb::arg("documents"))
        .def("is_full", &PiecePass::is_full)
        .def_prop_ro("memory", &PiecePass::memory)
        .def("write", &PiecePass::write, nb::arg("path"))
        .def_prop_ro("fingerprint", &PiecePass::fingerprint)
        .def("prune", &PiecePass::prune, nb::arg("paths"), nb::arg("sizes"), nb::arg("min_count"),
             nb::arg("max_piece_length"), nb::arg("threads"), nb::arg("memory") = SIZE_MAX);
    module.def("merge_runs", &merge_runs, nb::arg("paths"), nb::arg("out"));
    module.def("describe_run", &describe_run, nb::arg("path"));
    module.def("training_cut", &training_cut, nb::arg("data"), nb::arg("begin"), nb::arg("size"), nb::arg("isolate_digits"));
}

}  // namespace paribus::python
