// Prints the least depth of each seed.
#include <sgi/sgi.hpp>

#include <algorithm>
#include <cstdio>

int main(int argc, char **argv) try {
    if (argc < 2) return std::fputs("usage: consumer MODEL\n", stderr), 2;
    sgi::Engine engine(argv[1]);
    const sgi::Maps maps = engine.generate({0, 1, 42});
    for (size_t n = 0; n < maps["depth"].count(); ++n) {
        const sgi::Span<const float> depth = maps["depth"].image(n);
        std::printf("%.6f\n", *std::min_element(depth.begin(), depth.end()));
    }
    return 0;
} catch (const sgi::Error &error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
}
