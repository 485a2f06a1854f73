# Finds onnxruntime_c_api.h, the only header needed, and defines OnnxRuntimeHeaders::headers. ONNX_RUNTIME_INCLUDE_DIR is
# its folder if it is not in a prefix. The library itself is loaded at run time.
find_path(ONNX_RUNTIME_INCLUDE_DIR onnxruntime_c_api.h PATH_SUFFIXES onnxruntime onnxruntime/core/session)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OnnxRuntimeHeaders
  REQUIRED_VARS ONNX_RUNTIME_INCLUDE_DIR
  REASON_FAILURE_MESSAGE
    "install libonnxruntime-dev, or run engine/native/get-deps.sh build/deps and add build/deps/usr to CMAKE_PREFIX_PATH")
if(OnnxRuntimeHeaders_FOUND AND NOT TARGET OnnxRuntimeHeaders::headers)
  add_library(OnnxRuntimeHeaders::headers INTERFACE IMPORTED)
  target_include_directories(OnnxRuntimeHeaders::headers INTERFACE ${ONNX_RUNTIME_INCLUDE_DIR})
endif()
mark_as_advanced(ONNX_RUNTIME_INCLUDE_DIR)
