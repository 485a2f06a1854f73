// The loaded model of the C interface. It checks the arguments of calls and splits calls into passes.
#pragma once

#include "backend.hpp"

#include <sgi/sgi.h>

#include <memory>

struct sgi_engine {
    sgi_engine(const sgi::internal::Model &model, const sgi_options &options);

    void info(sgi_model_info &info) const;
    void generate(const sgi_request &request, const sgi_output *outputs, size_t output_count);

  private:
    // Opens the model with the backend of the options or, without one, with the default that can run it.
    void open(const sgi::internal::Model &model, const sgi_options &options,
              const sgi::internal::BackendOptions &settings);
    std::vector<sgi::internal::OutputBuffer> check_outputs(size_t count, const sgi_output *outputs,
                                                           size_t output_count) const;

    sgi::internal::Artifact artifact_; // with the loaded types only
    std::string path_;                 // of the model, for messages; empty for one in memory
    std::string backend_name_, device_, runtime_;
    std::string fallback_; // why cpu does not run the model, where another backend is used instead
    uint32_t batch_;
    std::vector<sgi_type> types_;
    std::vector<std::vector<const char *>> class_names_; // per type; types_ points into it and into colours_
    std::vector<std::vector<uint8_t>> colours_;
    std::unique_ptr<sgi::internal::Backend> backend_;
};
