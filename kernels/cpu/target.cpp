#include "target.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "target.cpp"
#include <hwy/foreach_target.h> // IWYU pragma: keep

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sgi::cpu::HWY_NAMESPACE {
namespace {

const char *name() { return hwy::TargetName(HWY_TARGET); }

} // namespace
} // namespace sgi::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sgi::cpu {

HWY_EXPORT(name);

const char *target_name() { return HWY_DYNAMIC_DISPATCH(name)(); }

} // namespace sgi::cpu
#endif
