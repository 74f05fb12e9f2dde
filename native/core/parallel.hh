// Run a function over 0..n-1 on several threads; the first exception is thrown again in the caller.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace paribus {

// function(worker, index): worker < threads names the scratch space to use; indices are handed out in order.
template <typename Function>
void parallel_for(size_t n, size_t threads, Function function) {
    if (threads > n) threads = n;
    if (threads <= 1) {
        for (size_t i = 0; i < n; ++i) function(size_t{0}, i);
        return;
    }
    std::atomic<size_t> next{0};
    std::exception_ptr error;
    std::mutex guard;
    const auto work = [&](size_t worker) {
        try {
            for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) function(worker, i);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!error) error = std::current_exception();
            next.store(n, std::memory_order_relaxed);
        }
    };
    std::vector<std::thread> others;
    for (size_t worker = 1; worker < threads; ++worker) others.emplace_back(work, worker);
    work(0);
    for (std::thread& thread : others) thread.join();
    if (error) std::rethrow_exception(error);
}

}  // namespace paribus
