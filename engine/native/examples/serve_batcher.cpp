#include "serve_batcher.hpp"

#include <iterator>

namespace {

constexpr size_t ENGINES_KEPT = 5;

std::vector<std::string> names_of(const sgi::Engine &engine) {
    std::vector<std::string> names;
    for (const sgi_type &type : engine.types()) names.emplace_back(type.name);
    return names;
}

} // namespace

Batcher::Batcher(std::string model, sgi::Options options, size_t queue)
    : model_(std::move(model)), options_(std::move(options)), queue_(queue) {
    sgi::Engine engine(model_, options_);
    std::vector<std::string> names = names_of(engine);
    engines_.emplace_back(std::move(names), std::move(engine));
    worker_ = std::thread([this] { work(); });
}

Batcher::~Batcher() {
    stop();
    worker_.join();
}

Found Batcher::generate(const Query &query) {
    std::future<Found> found;
    {
        const std::lock_guard lock(mutex_);
        if (counts_.stopping || counts_.waiting + query.seeds.size() > queue_) {
            ++counts_.rejected;
            throw Busy();
        }
        waiting_.push_back({&query, {}});
        counts_.waiting += query.seeds.size();
        found = waiting_.back().found.get_future();
    }
    arrived_.notify_one();
    return found.get();
}

void Batcher::stop() {
    {
        const std::lock_guard lock(mutex_);
        counts_.stopping = true;
    }
    arrived_.notify_all();
}

Counts Batcher::counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
}

// The oldest request and those that can share its pass: truncation and outputs hold for a pass as a whole. At most
// `batch` images, or one larger request.
std::vector<Batcher::Job> Batcher::next() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return counts_.stopping || !waiting_.empty(); });
    std::vector<Job> jobs;
    size_t images = 0;
    for (auto job = waiting_.begin(); job != waiting_.end();) {
        const size_t count = job->query->seeds.size();
        const bool fits = jobs.empty() || (images + count <= options_.batch && job->query->psi == jobs[0].query->psi &&
                                           job->query->types == jobs[0].query->types);
        if (!fits) {
            ++job;
            continue;
        }
        images += count;
        jobs.push_back(std::move(*job));
        job = waiting_.erase(job);
    }
    counts_.waiting -= images;
    counts_.images += images;
    counts_.passes += !jobs.empty();
    return jobs;
}

void Batcher::work() {
    for (std::vector<Job> jobs = next(); !jobs.empty(); jobs = next()) {
        try {
            Found found{run(jobs), 0};
            for (Job &job : jobs) {
                const size_t count = job.query->seeds.size(); // the query ends when its promise is kept
                job.found.set_value(found);
                found.first += count;
            }
        } catch (...) {
            for (Job &job : jobs) job.found.set_exception(std::current_exception());
        }
    }
}

std::shared_ptr<const sgi::Maps> Batcher::run(const std::vector<Job> &jobs) {
    std::vector<uint32_t> seeds;
    std::vector<float> labels;
    for (const Job &job : jobs) {
        const Query &query = *job.query;
        seeds.insert(seeds.end(), query.seeds.begin(), query.seeds.end());
        for (size_t n = 0; n < query.seeds.size(); ++n)
            labels.insert(labels.end(), query.label.begin(), query.label.end());
    }
    sgi::Request request;
    request.seeds = seeds;
    request.labels = labels;
    request.psi = jobs[0].query->psi;
    return std::make_shared<const sgi::Maps>(engine_of(jobs[0].query->types).generate(request));
}

// A runtime computes every output of the graph that it loaded, so each set of types has an engine.
sgi::Engine &Batcher::engine_of(const std::vector<std::string> &types) {
    for (auto &[names, engine] : engines_)
        if (names == types || engine.info().backend == std::string("tensorrt")) return engine; // it has all types
    sgi::Options options = options_;
    options.types.clear();
    for (const std::string &type : types) options.types += (options.types.empty() ? "" : ",") + type;
    if (engines_.size() == ENGINES_KEPT) engines_.erase(std::next(engines_.begin()));
    return engines_.emplace_back(types, sgi::Engine(model_, options)).second;
}
