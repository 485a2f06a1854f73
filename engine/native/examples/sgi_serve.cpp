// sgi-serve: maps of an exported model over HTTP, with the interface of `sgi-engine serve`.
//
// GET /maps?seeds=0-3,9&types=depth&psi=0.7&class_index=1&format=npy, /model, /healthz and /metrics. A bad request gets
// status 400 and one line, a request beyond the queue 503. SIGTERM and SIGINT stop the service after the waiting
// requests.
#include "../src/printable.hpp"
#include "flag_names.hpp"
#include "serve_query.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <sstream>

#include <httplib.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr const char *USAGE =
    "usage: sgi-serve MODEL [--host 127.0.0.1] [--port 8000] [--token TOKEN] [--batch 8] [--queue 256]\n"
    "                 [--request-seeds 64] [--type depth,image] [--threads N]\n"
    "Maps over HTTP: GET /maps?seeds=0-3&types=depth, /model, /healthz, /metrics. --port 0 takes a free port. A host\n"
    "other than loopback needs --token, or the environment variable SGI_TOKEN.\n";
constexpr size_t MOST_HANDLERS = 1024;

struct Flags {
    std::string model, host = "127.0.0.1", token, types;
    uint32_t port = 8000, batch = 8, queue = 256, request_seeds = 64, threads = 0;
};

uint32_t number(const std::string &flag, const std::string &text, uint32_t least, uint32_t most) {
    size_t end = 0;
    const bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string::npos;
    const unsigned long value = digits ? std::stoul(text, &end) : most + 1ul;
    if (value < least || value > most)
        throw std::runtime_error(flag + " " + text + ": choose " + std::to_string(least) + " to " +
                                 std::to_string(most));
    return static_cast<uint32_t>(value);
}

Flags parse_flags(int argc, char **argv) {
    Flags flags;
    if (const char *token = std::getenv("SGI_TOKEN")) flags.token = token;
    flags.model = argv[1];
    for (int i = 2; i < argc; i += 2) {
        const std::string flag = argv[i];
        if (i + 1 == argc) throw std::runtime_error(flag + " needs a value");
        const std::string value = argv[i + 1];
        if (flag == "--host") flags.host = value;
        else if (flag == "--port") flags.port = number(flag, value, 0, 65535);
        else if (flag == "--token") flags.token = value;
        else if (flag == "--batch") flags.batch = number(flag, value, 1, 65536);
        else if (flag == "--queue") flags.queue = number(flag, value, 1, 1000000);
        else if (flag == "--request-seeds") flags.request_seeds = number(flag, value, 1, 65536);
        else if (flag == "--type") flags.types = value;
        else if (flag == "--threads") flags.threads = number(flag, value, 1, 1024);
        else throw std::runtime_error("no flag " + flag);
        if (flag == "--token" && value.empty()) throw std::runtime_error("--token: must be at least one character");
    }
    for (const auto &[name, least] : {std::pair{"--request-seeds ", flags.request_seeds}, {"--batch ", flags.batch}})
        if (flags.queue < least)
            throw std::runtime_error("--queue " + std::to_string(flags.queue) + ": must be at least " + name +
                                     std::to_string(least));
    const bool loopback = flags.host == "127.0.0.1" || flags.host == "::1" || flags.host == "localhost";
    if (!loopback && flags.token.empty())
        throw std::runtime_error("--host " + flags.host + ": other machines reach it; set --token, or use 127.0.0.1");
    return flags;
}

// A histogram of seconds in the Prometheus text format.
class Latency {
  public:
    void add(double seconds) {
        const std::lock_guard lock(mutex_);
        for (size_t i = 0; i < BOUNDS.size(); ++i) below_[i] += seconds <= BOUNDS[i];
        sum_ += seconds;
        ++count_;
    }
    std::string text() const {
        const std::lock_guard lock(mutex_);
        std::ostringstream out;
        out << "# HELP sgi_request_seconds Time from request to response.\n# TYPE sgi_request_seconds histogram\n";
        for (size_t i = 0; i < BOUNDS.size(); ++i)
            out << "sgi_request_seconds_bucket{le=\"" << BOUNDS[i] << "\"} " << below_[i] << "\n";
        out << "sgi_request_seconds_bucket{le=\"+Inf\"} " << count_ << "\nsgi_request_seconds_count " << count_
            << "\nsgi_request_seconds_sum " << sum_ << "\n";
        return out.str();
    }

  private:
    static constexpr std::array<double, 10> BOUNDS{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10};
    mutable std::mutex mutex_;
    std::array<size_t, 10> below_{};
    double sum_ = 0;
    size_t count_ = 0;
};

std::string metrics(const Counts &counts, const Latency &latency) {
    std::string text;
    const auto add = [&](const std::string &name, const char *help, const char *type, size_t value) {
        text += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n" + name + " " +
                std::to_string(value) + "\n";
    };
    add("sgi_images_total", "Images generated.", "counter", counts.images);
    add("sgi_passes_total", "Passes of the engine.", "counter", counts.passes);
    add("sgi_rejected_total", "Requests answered with 503.", "counter", counts.rejected);
    add("sgi_waiting_images", "Images in the queue.", "gauge", counts.waiting);
    return text + latency.text();
}

void answer(httplib::Response &response, int status, const std::string &line) {
    response.status = status;
    response.set_content(line + "\n", "text/plain; charset=utf-8");
}

// Compares in a time that does not depend on the contents.
bool equal(const std::string &a, const std::string &b) {
    unsigned char difference = a.size() != b.size();
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
    return difference == 0;
}

// Ports of the clients whose requests are being answered. httplib logs a request when its response is written.
class BusyClients {
  public:
    void add(int port) {
        const std::lock_guard lock(mutex_);
        ports_.insert(port);
    }
    void remove(int port) {
        const std::lock_guard lock(mutex_);
        ports_.erase(port);
    }
    bool contains(int port) const {
        const std::lock_guard lock(mutex_);
        return ports_.count(port);
    }

  private:
    mutable std::mutex mutex_;
    std::set<int> ports_;
};

// The handlers of connections. httplib waits 5 s for the next request of an idle connection, also while the server
// stops; `shutdown` ends that wait.
class Handlers : public httplib::TaskQueue {
  public:
    Handlers(size_t count, const int &port, const BusyClients &busy) : pool_(count), port_(port), busy_(busy) {}
    void enqueue(std::function<void()> task) override { pool_.enqueue(std::move(task)); }
    void shutdown() override {
        const int most = static_cast<int>(std::min<long>(sysconf(_SC_OPEN_MAX), 1 << 16));
        for (int file = 3; file < most; ++file)
            if (port_of(getsockname, file) == port_ && !busy_.contains(port_of(getpeername, file)))
                ::shutdown(file, SHUT_RD);
        pool_.shutdown();
    }

  private:
    // Port of one end of a connection; -1 for another file.
    template <class Name> static int port_of(Name name, int file) {
        sockaddr_storage address{};
        socklen_t size = sizeof address;
        if (name(file, reinterpret_cast<sockaddr *>(&address), &size) != 0) return -1;
        return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6 *>(&address)->sin6_port
                                                   : reinterpret_cast<sockaddr_in *>(&address)->sin_port);
    }
    httplib::ThreadPool pool_;
    const int &port_;
    const BusyClients &busy_;
};

void add_errors(httplib::Server &server, const std::string &token, BusyClients &busy) {
    using Handled = httplib::Server::HandlerResponse;
    server.set_pre_routing_handler([token, &busy](const httplib::Request &request, httplib::Response &response) {
        busy.add(request.remote_port);
        if (!token.empty() && request.path != "/healthz" &&
            !equal(request.get_header_value("Authorization"), "Bearer " + token)) {
            response.set_header("WWW-Authenticate", "Bearer");
            answer(response, 401, "send the header `Authorization: Bearer TOKEN`");
            return Handled::Handled;
        }
        static const std::set<std::string> paths{"/maps", "/model", "/healthz", "/metrics"};
        const bool known = paths.count(request.path);
        if (known && request.method == "GET") return Handled::Unhandled;
        answer(response, known ? 405 : 404,
               std::string(known ? "Method Not Allowed" : "Not Found") + ": GET /maps, /model, /healthz or /metrics");
        return Handled::Handled;
    });
    server.set_error_handler([](const httplib::Request &, httplib::Response &response) {
        if (response.body.empty()) answer(response, response.status, "the request is not valid HTTP, or too long");
    });
}

// The first parameter of a target that is given twice with one value, which httplib drops; empty if there is none.
std::string repeated_parameter(const std::string &target) {
    std::set<std::string> seen;
    size_t start = target.find('?');
    while (start != std::string::npos) {
        const size_t stop = target.find('&', ++start);
        const std::string part = target.substr(start, stop == std::string::npos ? stop : stop - start);
        if (!part.empty() && !seen.insert(part).second) return part.substr(0, part.find('='));
        start = stop;
    }
    return "";
}

void add_routes(httplib::Server &server, Batcher &batcher, const sgi_model_info &model, size_t request_seeds,
                Latency &latency) {
    server.Get("/maps", [&batcher, &model, &latency, request_seeds](const httplib::Request &request,
                                                                    httplib::Response &response) {
        const auto began = std::chrono::steady_clock::now();
        try {
            if (const std::string name = repeated_parameter(request.target); !name.empty())
                throw BadRequest("`" + shown(name) + "`: was given twice");
            const Query query = parse_query(request.params, model, request_seeds);
            const std::string body = encode(query, batcher.generate(query), model);
            response.set_content(body, media_type(query.format));
            latency.add(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
        } catch (const BadRequest &error) {
            answer(response, 400, error.what());
        } catch (const Busy &) {
            response.set_header("Retry-After", "1");
            answer(response, 503, "the queue is full; try again later");
        } catch (const std::exception &error) {
            answer(response, 500, error.what());
        }
    });
    server.Get("/model", [&model](const httplib::Request &, httplib::Response &response) {
        response.set_content(model.description, "application/json");
    });
    server.Get("/healthz", [&batcher](const httplib::Request &, httplib::Response &response) {
        const Counts counts = batcher.counts();
        response.status = counts.stopping ? 503 : 200;
        response.set_content(std::string("{\"status\": \"") + (counts.stopping ? "stopping" : "ok") +
                                 "\", \"waiting\": " + std::to_string(counts.waiting) + "}",
                             "application/json");
    });
    server.Get("/metrics", [&batcher, &latency](const httplib::Request &, httplib::Response &response) {
        response.set_content(metrics(batcher.counts(), latency), "text/plain; version=0.0.4; charset=utf-8");
    });
}

// Offsets that were fitted on one class of a conditional model; the service takes any class.
void warn_of_classes(const sgi_model_info &model) {
    const auto description = nlohmann::json::parse(model.description, nullptr, /*allow_exceptions=*/false);
    std::string fitted;
    for (size_t i = 0; model.c_dim && i < model.type_count; ++i) {
        const auto index =
            nlohmann::json::json_pointer(std::string("/offsets/") + model.types[i].name + "/class_index");
        if (description.contains(index) && description.at(index).is_number_integer())
            fitted += std::string(fitted.empty() ? "" : ", ") + model.types[i].name + " on class " +
                      description.at(index).dump();
    }
    if (!fitted.empty())
        std::fprintf(stderr, "warning: offsets were fitted on one class (%s); maps of other classes are not verified\n",
                     fitted.c_str());
}

int serve(const Flags &flags, const sigset_t &signals) {
    httplib::Server server;
    server.set_tcp_nodelay(true); // with Nagle's algorithm and delayed acknowledgements a response waits for 40 ms
    // A connection occupies a handler; with fewer handlers than places in the queue it could not fill.
    const size_t handlers = std::min<size_t>(size_t{flags.queue} + 32, MOST_HANDLERS);
    int port = static_cast<int>(flags.port);
    BusyClients busy;
    server.new_task_queue = [handlers, &port, &busy] { return new Handlers(handlers, port, busy); };
    server.set_logger([&busy](const httplib::Request &request, const auto &) { busy.remove(request.remote_port); });
    server.set_keep_alive_max_count(1000000);
    server.set_payload_max_length(1 << 16); // no request needs a body
    if (port ? !server.bind_to_port(flags.host, port) : (port = server.bind_to_any_port(flags.host)) < 0)
        throw std::runtime_error("--host " + flags.host + " --port " + std::to_string(flags.port) +
                                 ": cannot listen there; choose another");

    sgi::Options options;
    options.types = flags.types;
    options.batch = flags.batch;
    options.threads = flags.threads;
    Batcher batcher(flags.model, options, flags.queue);
    const sgi_model_info model = batcher.engine().info();
    if (std::string(model.input) != "z")
        throw std::runtime_error(flags.model + ": the model takes " + model.input +
                                 ", and requests have seeds; serve a model that takes z");
    warn_of_classes(model);
    Latency latency;
    add_errors(server, flags.token, busy);
    add_routes(server, batcher, model, flags.request_seeds, latency);

    std::atomic<bool> ended{false};
    std::thread stopper([&] {
        int signal = 0;
        sigwait(&signals, &signal);
        batcher.stop();
        while (!server.is_running() && !ended) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        server.stop();
    });
    const std::string host = flags.host.find(':') == std::string::npos ? flags.host : "[" + flags.host + "]";
    std::printf("http://%s:%d/maps?seeds=0&types=%s\n", host.c_str(), port, model.types[0].name);
    std::fflush(stdout);
    server.listen_after_bind();
    ended = true;
    pthread_kill(stopper.native_handle(), SIGTERM); // for a listener that ended by itself
    stopper.join();
    return 0;
}

} // namespace

int main(int argc, char **argv) try {
    if (argc == 2 && (std::string(argv[1]) == "--help" || std::string(argv[1]) == "-h"))
        return std::fputs(USAGE, stdout), 0;
    if (argc < 2 || argv[1][0] == '-') return std::fputs(USAGE, stderr), 2;
    const Flags flags = parse_flags(argc, argv);
    sigset_t signals; // blocked in every thread; one waits for them
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return serve(flags, signals);
} catch (const std::exception &error) {
    std::fprintf(stderr, "error: %s\n", sgi::internal::printable(with_flags(error.what())).c_str());
    return 2;
}
