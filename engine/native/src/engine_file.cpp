#include "engine_file.hpp"

#include "error.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace sgi::internal {
namespace {

using Json = nlohmann::json;
constexpr uint32_t MAX_ROWS = 1 << 16;

std::string advice(const Json &sidecar, const EngineFacts &facts, const std::string &path) {
    std::string types;
    for (const Json &type : sidecar.at("types")) types += " --type " + type.at("name").get<std::string>();
    const std::string batch =
        std::to_string(facts.least) + "," + std::to_string(facts.best) + "," + std::to_string(facts.largest);
    return "build it again here, with its --generator and --offset if it has its own: `sgi-engine export --format "
           "tensorrt --precision " +
           sidecar.at("precision").get<std::string>() + " --batch-profile " + batch + types + " --out " + path + "`";
}

} // namespace

EngineFacts::EngineFacts(const Model &model) {
    try {
        const Json sidecar = Json::parse(model.sidecar), &builder = sidecar.at("builder");
        module = builder.at("module").get<std::string>();
        version = builder.at("version").get<std::string>();
        if (!builder.at("gpu").is_null()) gpu = builder.at("gpu").get<std::string>();
        engine_sha256 = builder.at("engine_sha256").get<std::string>();
        const Json &number = builder.at("compute_capability");
        if (!number.is_null()) capability = {number.at(0).get<int>(), number.at(1).get<int>()};
        targets = builder.at("targets").get<std::vector<std::string>>();
        const auto batch = builder.at("batch").get<std::vector<uint32_t>>();
        if (batch.size() != 3 || batch[0] < 1 || batch[0] > batch[1] || batch[1] > batch[2] || batch[2] > MAX_ROWS)
            throw Failure(SGI_ERROR_MODEL, "");
        least = batch[0];
        best = batch[1];
        largest = batch[2];
        rebuild = advice(sidecar, *this, model.path);
    } catch (const std::exception &) {
        throw Failure(SGI_ERROR_MODEL, "the JSON beside it does not say how it was built; build it again with "
                                       "`sgi-engine export --format tensorrt`");
    }
}

void EngineFacts::check_gpu(const std::optional<Gpu> &here) const {
    if (!here)
        throw Failure(SGI_ERROR_BACKEND,
                      "an engine runs on an NVIDIA GPU, and none with a driver is here; use an .onnx export");
    if (capability && (gpu != here->name || *capability != here->capability))
        throw Failure(SGI_ERROR_BACKEND, "built on " + gpu + ", and this is " + here->name + "; " + rebuild);
    const std::string name = "SM" + std::to_string(here->capability.first) + std::to_string(here->capability.second);
    if (targets.empty() || std::find(targets.begin(), targets.end(), name) != targets.end()) return;
    std::string list;
    for (const std::string &target : targets) list += (list.empty() ? "" : ", ") + target;
    throw Failure(SGI_ERROR_BACKEND, "built for " + list + ", and " + here->name + " is " + name + "; " + rebuild);
}

void EngineFacts::check_library(const std::string &module_here, const std::string &version_here) const {
    if (module != module_here)
        throw Failure(SGI_ERROR_BACKEND, "built by " + module + ", and this library runs engines of " + module_here +
                                             ": build it with the headers of the other, or " + rebuild);
    if (version != version_here)
        throw Failure(SGI_ERROR_BACKEND,
                      "built by " + module + " " + version + ", and " + version_here + " is installed; " + rebuild);
}

} // namespace sgi::internal
