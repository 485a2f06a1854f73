# Finds NvInferRuntime.h of TensorRT (10.13 or later) or TensorRT-RTX with the CUDA headers it includes, and gives
# TensorRtHeaders::headers. TENSORRT_INCLUDE_DIR and CUDA_INCLUDE_DIR name their folders where they are in no prefix; of
# two TensorRTs here the first names the one to take. The libraries themselves are loaded at run time.
find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h PATH_SUFFIXES tensorrt)
find_path(CUDA_INCLUDE_DIR cuda_runtime_api.h PATHS /usr/local/cuda ENV CUDA_PATH PATH_SUFFIXES include)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TensorRtHeaders
  REQUIRED_VARS TENSORRT_INCLUDE_DIR CUDA_INCLUDE_DIR
  REASON_FAILURE_MESSAGE
    "install libnvinfer-headers-dev and cuda-cudart-dev from NVIDIA, or name the folders of NvInferRuntime.h and \
cuda_runtime_api.h in TENSORRT_INCLUDE_DIR and CUDA_INCLUDE_DIR")
if(TensorRtHeaders_FOUND AND NOT TARGET TensorRtHeaders::headers)
  add_library(TensorRtHeaders::headers INTERFACE IMPORTED)
  target_include_directories(TensorRtHeaders::headers INTERFACE ${TENSORRT_INCLUDE_DIR} ${CUDA_INCLUDE_DIR})
endif()
mark_as_advanced(TENSORRT_INCLUDE_DIR CUDA_INCLUDE_DIR)
