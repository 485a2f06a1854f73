// Messages of the library for users of a program.
#pragma once

#include <string>
#include <utility>

// The message with the flags that set options in place of the fields of sgi_options.
inline std::string with_flags(std::string message) {
    const std::pair<std::string, std::string> names[] = {
        {"sgi_options.types", "--type"},      {"sgi_options.backend", "--backend"},
        {"sgi_options.batch", "--batch"},     {"sgi_options.precision", "--precision"},
        {"sgi_options.threads", "--threads"}, {"leave it NULL", "leave it out"}};
    for (const auto &[name, flag] : names)
        if (const size_t at = message.find(name); at != std::string::npos) message.replace(at, name.size(), flag);
    return message;
}
