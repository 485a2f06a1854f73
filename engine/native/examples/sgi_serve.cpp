// sgi-serve: GET /seeds/42?psi=0.7 returns a .npy file of float32 [4, R, R]: RGB of the image, and depth.
// Requests that arrive during a pass are computed together in the next pass.
#include "npy.hpp"

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include <httplib.h>

namespace {

constexpr size_t LARGEST_PASS = 16;
constexpr size_t HANDLERS = 64; // largest number of waiting requests; further ones stay in the listen queue

struct Job {
    uint32_t seed;
    std::optional<float> psi;
    std::promise<std::string> npy;
};

class Batcher {
  public:
    explicit Batcher(sgi::Engine engine) : engine_(std::move(engine)), worker_([this] { work(); }) {}
    ~Batcher() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        arrived_.notify_one();
        worker_.join();
    }

    std::string generate(uint32_t seed, std::optional<float> psi) {
        Job job{seed, psi, {}};
        std::future<std::string> npy = job.npy.get_future();
        {
            const std::lock_guard lock(mutex_);
            waiting_.push_back(std::move(job));
        }
        arrived_.notify_one();
        return npy.get();
    }

    std::pair<size_t, size_t> counts() { // images, passes
        const std::lock_guard lock(mutex_);
        return {images_, passes_};
    }

  private:
    // The oldest request and all others with the same psi, which is the same for a whole pass.
    std::vector<Job> next() {
        std::unique_lock lock(mutex_);
        arrived_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
        std::vector<Job> jobs;
        for (auto job = waiting_.begin(); job != waiting_.end() && jobs.size() < LARGEST_PASS;) {
            if (jobs.empty() || job->psi == jobs.front().psi) {
                jobs.push_back(std::move(*job));
                job = waiting_.erase(job);
            } else {
                ++job;
            }
        }
        images_ += jobs.size();
        passes_ += !jobs.empty();
        return jobs;
    }

    void work() {
        for (std::vector<Job> jobs = next(); !jobs.empty(); jobs = next()) {
            std::vector<uint32_t> seeds;
            for (const Job &job : jobs) seeds.push_back(job.seed);
            try {
                const sgi::Maps maps = engine_.generate(seeds, jobs.front().psi);
                for (size_t n = 0; n < jobs.size(); ++n) jobs[n].npy.set_value(rgb_and_depth(maps, n));
            } catch (...) {
                for (Job &job : jobs) job.npy.set_exception(std::current_exception());
            }
        }
    }

    static std::string rgb_and_depth(const sgi::Maps &maps, size_t n) {
        std::vector<float> values;
        for (const char *type : {"image", "depth"})
            values.insert(values.end(), maps[type].image(n).begin(), maps[type].image(n).end());
        return npy(values, 4, maps["depth"].side());
    }

    sgi::Engine engine_;
    std::mutex mutex_; // guards the members below
    std::condition_variable arrived_;
    std::deque<Job> waiting_;
    size_t images_ = 0, passes_ = 0;
    bool stop_ = false;
    std::thread worker_; // last, because it uses the other members
};

} // namespace

int main(int argc, char **argv) try {
    if (argc < 2) return std::fputs("usage: sgi-serve MODEL [PORT]\n", stderr), 2;
    sgi::Options options;
    options.types = "image,depth";
    options.batch = LARGEST_PASS;
    Batcher batcher(sgi::Engine(argv[1], options));

    httplib::Server server;
    server.new_task_queue = [] { return new httplib::ThreadPool(HANDLERS); };
    server.Get(R"(/seeds/(\d{1,10}))", [&](const httplib::Request &request, httplib::Response &response) {
        try {
            const unsigned long long seed = std::stoull(request.matches[1]);
            if (seed > 0xffffffffull) throw std::out_of_range("seed");
            std::optional<float> psi;
            if (request.has_param("psi")) psi = std::stof(request.get_param_value("psi"));
            response.set_content(batcher.generate(static_cast<uint32_t>(seed), psi), "application/x-npy");
        } catch (const std::logic_error &) { // thrown by stoull and stof
            response.status = 400;
            response.set_content("seed is 0 to 4294967295, psi a number\n", "text/plain");
        } catch (const sgi::Error &error) {
            response.status = error.status() == SGI_ERROR_ARGUMENT ? 400 : 500;
            response.set_content(std::string(error.what()) + "\n", "text/plain");
        }
    });
    server.Get("/stats", [&](const httplib::Request &, httplib::Response &response) {
        const auto [images, passes] = batcher.counts();
        response.set_content("{\"images\": " + std::to_string(images) + ", \"passes\": " + std::to_string(passes) +
                                 "}\n",
                             "application/json");
    });

    const int wanted = argc > 2 ? std::atoi(argv[2]) : 8000;
    const int port = wanted ? wanted : server.bind_to_any_port("127.0.0.1");
    if (wanted && !server.bind_to_port("127.0.0.1", wanted))
        throw std::runtime_error("port " + std::to_string(wanted) + " is taken; name another");
    std::printf("http://127.0.0.1:%d/seeds/42\n", port);
    std::fflush(stdout);
    server.listen_after_bind();
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
}
