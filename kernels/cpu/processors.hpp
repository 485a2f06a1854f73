// How many processors this process may use.
#pragma once

#include <cstddef>
#include <string>

namespace sgi::cpu {

// The smallest of the processors of the affinity mask, the quota of the cgroup, and OMP_NUM_THREADS; at least 1.
size_t usable_processors();

// Processors of the quota of a cgroup (version 1 or 2) and of its parents, rounded up; 0 without a quota.
// cgroup: text of /proc/self/cgroup. root: where the file systems of cgroups are mounted, /sys/fs/cgroup.
size_t quota_processors(const std::string &cgroup, const std::string &root);

// The first number of OMP_NUM_THREADS, a list with one number for each level of nesting; 0 for nullptr and for a text
// that is none.
size_t omp_threads(const char *text);

} // namespace sgi::cpu
