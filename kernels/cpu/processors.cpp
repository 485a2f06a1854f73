#include "processors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace sgi::cpu {
namespace {

size_t affinity_processors() {
#ifdef __linux__
    // The kernel refuses a mask that is smaller than its own, which can be larger than cpu_set_t.
    for (size_t bits = CPU_SETSIZE; bits <= (size_t(1) << 20); bits *= 4) {
        std::vector<cpu_set_t> mask(bits / CPU_SETSIZE);
        const size_t bytes = mask.size() * sizeof(cpu_set_t);
        if (sched_getaffinity(0, bytes, mask.data()) == 0) return size_t(CPU_COUNT_S(bytes, mask.data()));
    }
#endif
    return std::thread::hardware_concurrency();
}

// The quota of one folder as a number of processors; infinity without one.
double quota_in(const std::string &folder, bool version2) {
    double quota = -1, period = 0;
    std::string text;
    if (version2) { // "max 100000" or "150000 100000"
        std::ifstream(folder + "/cpu.max") >> text >> period;
        if (text != "max") std::istringstream(text) >> quota;
    } else { // -1 without a quota
        std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
        std::ifstream(folder + "/cpu.cfs_period_us") >> period;
    }
    return quota > 0 && period > 0 ? quota / period : std::numeric_limits<double>::infinity();
}

bool has_cpu(const std::string &controllers) {
    std::istringstream list(controllers);
    for (std::string name; std::getline(list, name, ',');)
        if (name == "cpu") return true;
    return false;
}

} // namespace

size_t quota_processors(const std::string &cgroup, const std::string &root) {
    double least = std::numeric_limits<double>::infinity();
    std::istringstream lines(cgroup);
    for (std::string line; std::getline(lines, line);) { // hierarchy:controllers:path; version 2 has no controllers
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const bool version2 = controllers.empty();
        if (!version2 && !has_cpu(controllers)) continue;
        std::string path = line.substr(second + 1);
        // A container can see the path of the host, but not its folder; then only the mount's root exists.
        for (;;) {
            if (!path.empty() && path.back() == '/') path.pop_back();
            least = std::min(least, quota_in(root + (version2 ? "" : "/cpu") + path, version2));
            if (path.empty()) break;
            path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
        }
    }
    // Rounded up: a quota of 1.5 is used whole by two threads, and not by one.
    return std::isfinite(least) ? std::max<size_t>(1, size_t(std::ceil(least))) : 0;
}

size_t omp_threads(const char *text) {
    if (!text) return 0;
    char *end = nullptr;
    const long count = std::strtol(text, &end, 10);
    const bool ends = *end == '\0' || *end == ',' || *end == ' ';
    return end != text && ends && count > 0 ? size_t(count) : 0;
}

size_t usable_processors() {
    size_t count = std::max<size_t>(1, affinity_processors());
    std::ifstream file("/proc/self/cgroup");
    const std::string cgroup{std::istreambuf_iterator<char>(file), {}};
    for (const size_t limit : {quota_processors(cgroup, "/sys/fs/cgroup"), omp_threads(std::getenv("OMP_NUM_THREADS"))})
        if (limit) count = std::min(count, limit);
    return count;
}

} // namespace sgi::cpu
