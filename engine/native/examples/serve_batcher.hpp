// Requests gathered into passes: those that arrive while a pass runs form the next one together.
#pragma once

#include <sgi/sgi.hpp>

#include <condition_variable>
#include <deque>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

// What one request asks for. types: names in the model's order. label: [c_dim] of all its images, or empty.
struct Query {
    std::vector<uint32_t> seeds;
    std::vector<float> label;
    std::vector<std::string> types;
    float psi = 1;
    std::string format;
};

// The maps of one pass, and the first image of one request in it.
struct Found {
    std::shared_ptr<const sgi::Maps> maps;
    size_t first = 0;
};

// The queue is full, or the service is stopping.
struct Busy : std::exception {};

struct Counts {
    size_t images = 0, passes = 0, rejected = 0, waiting = 0;
    bool stopping = false;
};

// The queue in front of a model; any thread may call its functions.
class Batcher {
  public:
    // options.batch: images of a pass. queue: images that can wait.
    Batcher(std::string model, sgi::Options options, size_t queue);
    ~Batcher();

    // The maps of a query; waits for them. Throws Busy, and sgi::Error of the pass.
    Found generate(const Query &query);
    // Rejects new requests; those in the queue are still served.
    void stop();
    Counts counts() const;
    const sgi::Engine &engine() const { return engines_.front().second; }

  private:
    struct Job {
        const Query *query;
        std::promise<Found> found;
    };
    using Engines = std::list<std::pair<std::vector<std::string>, sgi::Engine>>;

    std::vector<Job> next();
    void work();
    std::shared_ptr<const sgi::Maps> run(const std::vector<Job> &jobs);
    sgi::Engine &engine_of(const std::vector<std::string> &types);

    const std::string model_;
    const sgi::Options options_;
    const size_t queue_;
    Engines engines_; // used by the worker; the first has all types
    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<Job> waiting_;
    Counts counts_;
    std::thread worker_; // last, because it uses the other members
};
