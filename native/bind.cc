// The tokenizer for Python. Only bind*.cc know Python: they turn buffers into spans and release the interpreter around
// the core.
#include <nanobind/nanobind.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bind.hh"
#include "decode.hh"
#include "lattice.hh"
#include "model.hh"
#include "parallel.hh"
#include "sampler.hh"
#include "scan.hh"
#include "walk.hh"

using namespace paribus;
using namespace paribus::python;

namespace {

constexpr size_t kKept = 1 << 22;  // bytes of scratch space that may stay behind after a call
constexpr size_t kWorthReleasing = 512;  // below this many bytes, handing the interpreter over costs more than it gives

template <typename Function>
void run(size_t size, Function function) {
    if (size < kWorthReleasing) {
        function();
    } else {
        const nb::gil_scoped_release released;
        function();
    }
}

// Documents on several threads, their tokens flat and in order: the result does not depend on the threads.
template <typename Scratch, typename Make, typename Function>
nb::tuple batch(const std::vector<Text>& texts, size_t threads, Make make, Function function) {
    struct Place {
        size_t worker, begin, size;
    };
    std::vector<Place> places(texts.size());
    std::vector<int64_t> offsets(texts.size() + 1, 0);
    uint32_t* flat = nullptr;
    {
        const nb::gil_scoped_release released;
        threads = std::max<size_t>(1, std::min(threads, texts.size()));
        size_t bytes = 0;
        for (const Text& text : texts) bytes += text.size;
        std::vector<std::unique_ptr<Scratch>> scratch(threads);
        std::vector<std::vector<uint32_t>> tokens(threads);
        parallel_for(texts.size(), threads, [&](size_t worker, size_t i) {
            std::vector<uint32_t>& out = tokens[worker];
            if (!scratch[worker]) {
                scratch[worker] = make();
                out.reserve(bytes / threads / 2);  // more than most texts need, so that nothing is copied on the way
            }
            const size_t begin = out.size();
            function(*scratch[worker], texts[i], i, out);
            places[i] = {worker, begin, out.size() - begin};
        });
        for (size_t i = 0; i < texts.size(); ++i) offsets[i + 1] = offsets[i] + static_cast<int64_t>(places[i].size);
        flat = new uint32_t[static_cast<size_t>(offsets.back()) + 1];
        parallel_for(texts.size(), threads, [&](size_t, size_t i) {
            const Place& place = places[i];
            if (place.size) std::memcpy(flat + offsets[i], tokens[place.worker].data() + place.begin, place.size * 4);
        });
    }
    nb::capsule owner(flat, [](void* p) noexcept { delete[] static_cast<uint32_t*>(p); });
    return nb::make_tuple(Out<uint32_t>(flat, {static_cast<size_t>(offsets.back())}, owner),
                          array(offsets.data(), offsets.size()));
}

class Core {
  public:
    explicit Core(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

    const Model& model() const { return *model_; }

    Out<uint32_t> encode(Text text) {
        Lease<Scratch> lease(*this);
        std::vector<uint32_t>& out = lease->out;
        out.clear();
        run(text.size, [&] { lease->walk.encode(text.data, text.size, out); });
        return array(out.data(), out.size());
    }

    nb::tuple encode_batch(nb::list documents, size_t threads) {
        return batch<Walk>(
            texts_of(documents), threads, [&] { return std::make_unique<Walk>(*model_); },
            [](Walk& walk, Text text, size_t, std::vector<uint32_t>& out) { walk.encode(text.data, text.size, out); });
    }

    Out<uint32_t> sample(Text text, double alpha, uint64_t seed, uint64_t document) {
        std::unique_ptr<Sampler> sampler = take_sampler(alpha);
        std::vector<uint32_t> out;
        run(text.size, [&] { sampler->sample(text.data, text.size, seed, document, out); });
        give_sampler(std::move(sampler));
        return array(out.data(), out.size());
    }

    nb::tuple sample_batch(nb::list documents, double alpha, uint64_t seed, uint64_t first, size_t threads) {
        return batch<Sampler>(
            texts_of(documents), threads, [&] { return std::make_unique<Sampler>(*model_, alpha); },
            [=](Sampler& sampler, Text text, size_t i, std::vector<uint32_t>& out) {
                sampler.sample(text.data, text.size, seed, first + i, out);
            });
    }

    nb::object decode(const In<uint32_t>& tokens) {
        Lease<Scratch> lease(*this);
        std::vector<char>& out = lease->bytes;
        size_t size = 0;
        run(tokens.size(), [&] { size = paribus::decode(*model_, tokens.data(), tokens.size(), out); });
        PyObject* bytes = PyBytes_FromStringAndSize(out.data(), static_cast<Py_ssize_t>(size));
        if (!bytes) throw nb::python_error();
        return nb::steal(bytes);
    }

    // Every place where a piece fits inside a chunk: (end, id), by end, the longest first.
    nb::tuple matches(nb::bytes document) const {
        const Text text = text_of(document);
        std::vector<uint64_t> ends;
        std::vector<uint32_t> ids;
        std::vector<uint32_t> groups(text.size);
        Place place = root(*model_);
        scan(*model_, text.data, text.size, place, groups.data());
        for (size_t i = 0; i < text.size; ++i) {
            for (const Group* group = model_->groups() + groups[i];; ++group) {
                for (unsigned k = 0; k < 4 && group->scores[k] != kNothing; ++k) {
                    ends.push_back(i + 1);
                    ids.push_back(group->codes[k] & kIdMask);
                }
                if (!group->more) break;
            }
            ends.push_back(i + 1);
            ids.push_back(model_->byte_codes()[text.data[i]] & kIdMask);
        }
        return nb::make_tuple(array(ends.data(), ends.size()), array(ids.data(), ids.size()));
    }

    nb::tuple nbest(nb::bytes document, size_t n) const {
        const Text text = text_of(document);
        std::vector<Lattice::Path> paths;
        run(text.size, [&] { paths = Lattice(*model_, text.data, text.size).nbest(n); });
        std::vector<double> scores;
        nb::list ids;
        for (const Lattice::Path& path : paths) {
            scores.push_back(path.score);
            ids.append(array(path.ids.data(), path.ids.size()));
        }
        return nb::make_tuple(array(scores.data(), scores.size()), ids);
    }

    // (starts, ends, ids, probabilities)
    nb::tuple marginals(nb::bytes document, double alpha) const {
        const Text text = text_of(document);
        std::vector<Lattice::Marginal> found;
        run(text.size, [&] { found = Lattice(*model_, text.data, text.size).marginals(alpha); });
        std::vector<uint64_t> starts, ends;
        std::vector<uint32_t> ids;
        std::vector<double> probabilities;
        for (const Lattice::Marginal& one : found) {
            starts.push_back(one.start);
            ends.push_back(one.end);
            ids.push_back(one.id);
            probabilities.push_back(one.probability);
        }
        return nb::make_tuple(array(starts.data(), starts.size()), array(ends.data(), ends.size()),
                              array(ids.data(), ids.size()), array(probabilities.data(), probabilities.size()));
    }

    double entropy(nb::bytes document, double alpha) const {
        const Text text = text_of(document);
        double nats = 0;
        run(text.size, [&] { nats = Lattice(*model_, text.data, text.size).entropy(alpha); });
        return nats;
    }

  private:
    struct Scratch {
        explicit Scratch(const Model& model) : walk(model) {}
        size_t memory() const { return walk.memory() + out.capacity() * sizeof(uint32_t) + bytes.capacity(); }
        Walk walk;
        std::vector<uint32_t> out;
        std::vector<char> bytes;
    };

    // Scratch space for one call; concurrent calls get their own.
    template <typename T>
    class Lease {
      public:
        explicit Lease(Core& core) : core_(core) {
            const std::lock_guard<std::mutex> lock(core.guard_);
            if (core.idle_.empty()) {
                mine_ = std::make_unique<T>(*core.model_);
            } else {
                mine_ = std::move(core.idle_.back());
                core.idle_.pop_back();
            }
        }
        ~Lease() {
            if (mine_->memory() > kKept) return;
            const std::lock_guard<std::mutex> lock(core_.guard_);
            core_.idle_.push_back(std::move(mine_));
        }
        T* operator->() { return mine_.get(); }

      private:
        Core& core_;
        std::unique_ptr<T> mine_;
    };

    std::unique_ptr<Sampler> take_sampler(double alpha) {
        {
            const std::lock_guard<std::mutex> lock(guard_);
            if (sampler_ && sampler_->alpha() == alpha) return std::move(sampler_);
        }
        return std::make_unique<Sampler>(*model_, alpha);
    }

    void give_sampler(std::unique_ptr<Sampler> sampler) {
        const std::lock_guard<std::mutex> lock(guard_);
        sampler_ = std::move(sampler);
    }

    std::shared_ptr<const Model> model_;
    std::mutex guard_;
    std::vector<std::unique_ptr<Scratch>> idle_;
    std::unique_ptr<Sampler> sampler_;  // the weights of the last alpha
};

class Stream {
  public:
    explicit Stream(std::shared_ptr<Core> core) : core_(std::move(core)), walk_(core_->model()) {}

    Out<uint32_t> feed(nb::bytes data) {
        const Text text = text_of(data);
        std::vector<uint32_t> out;
        run(text.size, [&] { walk_.feed(text.data, text.size, out); });
        return array(out.data(), out.size());
    }

    Out<uint32_t> finish() {
        std::vector<uint32_t> out;
        walk_.finish(out);
        return array(out.data(), out.size());
    }

    size_t pending() const { return walk_.pending(); }

  private:
    std::shared_ptr<Core> core_;
    Walk walk_;
};

nb::bytes serialize(nb::list pieces, In<double> scores, In<uint64_t> counts, double tilt, nb::bytes meta) {
    Vocabulary vocabulary;
    for (nb::handle piece : pieces) {
        const nb::bytes bytes = nb::cast<nb::bytes>(piece);
        vocabulary.pieces.emplace_back(bytes.c_str(), bytes.size());
    }
    vocabulary.scores.assign(scores.data(), scores.data() + scores.size());
    vocabulary.counts.assign(counts.data(), counts.data() + counts.size());
    vocabulary.tilt = tilt;
    vocabulary.meta = {meta.c_str(), meta.size()};
    const std::string file = Model::serialize(vocabulary);
    return nb::bytes(file.data(), file.size());
}

}  // namespace

NB_MODULE(_native, module) {
    nb::set_leak_warnings(false);  // models kept for the life of the process are meant
    module.doc() = "BytePiece's C++ core: see paribus.tokenizer for the public names.";
    const nb::exception<FormatError> wrong(module, "FormatError", PyExc_ValueError);
    nb::exception<MemoryError>(module, "TooSmallError", wrong.ptr());

    module.def("serialize", &serialize, nb::arg("pieces"), nb::arg("scores"), nb::arg("counts"), nb::arg("tilt"),
               nb::arg("meta"));

    nb::class_<Core>(module, "Model")
        .def_static("load", [](const std::string& path) { return std::make_shared<Core>(Model::map(path)); }, nb::arg("path"))
        .def_static("from_bytes", [](nb::bytes data) { return std::make_shared<Core>(Model::copy(data.c_str(), data.size())); },
                    nb::arg("data"))
        .def_prop_ro("n_tokens", [](const Core& core) { return core.model().n_tokens(); })
        .def_prop_ro("max_length", [](const Core& core) { return core.model().max_length(); })
        .def_prop_ro("tilt", [](const Core& core) { return core.model().tilt(); })
        .def_prop_ro("meta", [](const Core& core) { return nb::bytes(core.model().meta().data(), core.model().meta().size()); })
        .def("to_bytes", [](const Core& core) { return nb::bytes(core.model().file().data(), core.model().file().size()); })
        .def("pieces", [](const Core& core) {
            nb::list pieces;
            for (uint32_t id = 0; id < core.model().n_tokens(); ++id) {
                const std::string_view piece = core.model().piece(id);
                pieces.append(nb::bytes(piece.data(), piece.size()));
            }
            return pieces;
        })
        .def("scores", [](const Core& core) { return array(core.model().scores(), core.model().n_tokens()); })
        .def("counts", [](const Core& core) { return array(core.model().counts(), core.model().n_tokens()); })
        .def("encode", [](Core& core, nb::bytes data) { return core.encode(text_of(data)); }, nb::arg("data"))
        .def("encode_batch", &Core::encode_batch, nb::arg("documents"), nb::arg("threads"))
        .def("sample", [](Core& core, nb::bytes data, double alpha, uint64_t seed, uint64_t document) {
            return core.sample(text_of(data), alpha, seed, document);
        }, nb::arg("data"), nb::arg("alpha"), nb::arg("seed"), nb::arg("document"))
        .def("sample_batch", &Core::sample_batch, nb::arg("documents"), nb::arg("alpha"), nb::arg("seed"),
             nb::arg("first_document"), nb::arg("threads"))
        .def("decode", &Core::decode, nb::arg("tokens").noconvert())
        .def("nbest", &Core::nbest, nb::arg("data"), nb::arg("n"))
        .def("marginals", &Core::marginals, nb::arg("data"), nb::arg("alpha"))
        .def("entropy", &Core::entropy, nb::arg("data"), nb::arg("alpha"))
        .def("matches", &Core::matches, nb::arg("data"));

    bind_training(module);

    nb::class_<Stream>(module, "Stream")
        .def(nb::init<std::shared_ptr<Core>>(), nb::arg("model"))
        .def("feed", &Stream::feed, nb::arg("data"))
        .def("finish", &Stream::finish)
        .def_prop_ro("pending", &Stream::pending);
}
