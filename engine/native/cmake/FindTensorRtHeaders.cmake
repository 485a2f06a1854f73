# Finds NvInferRuntime.h of TensorRT (10.13 or later) or TensorRT-RTX with the CUDA headers it includes, and defines
# TensorRtHeaders::headers. TENSORRT_INCLUDE_DIR and CUDA_INCLUDE_DIR are their folders if they are not in a prefix; the
# first also selects one of several TensorRT versions. The libraries themselves are loaded at run time.
find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h PATH_SUFFIXES tensorrt)
find_path(CUDA_INCLUDE_DIR cuda_runtime_api.h PATHS /usr/local/cuda ENV CUDA_PATH PATH_SUFFIXES include)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TensorRtHeaders
  REQUIRED_VARS TENSORRT_INCLUDE_DIR CUDA_INCLUDE_DIR
  REASON_FAILURE_MESSAGE
    "install libnvinfer-headers-dev and cuda-cudart-dev from NVIDIA, or set TENSORRT_INCLUDE_DIR and \
CUDA_INCLUDE_DIR to the folders of NvInferRuntime.h and cuda_runtime_api.h")
if(TensorRtHeaders_FOUND AND NOT TARGET TensorRtHeaders::headers)
  add_library(TensorRtHeaders::headers INTERFACE IMPORTED)
  target_include_directories(TensorRtHeaders::headers INTERFACE ${TENSORRT_INCLUDE_DIR} ${CUDA_INCLUDE_DIR})
endif()
mark_as_advanced(TENSORRT_INCLUDE_DIR CUDA_INCLUDE_DIR)
