# Finds cpp-httplib, header-only or compiled as in Debian, and defines Httplib::httplib.
find_path(HTTPLIB_INCLUDE_DIR httplib.h)
find_library(HTTPLIB_LIBRARY cpp-httplib)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Httplib REQUIRED_VARS HTTPLIB_INCLUDE_DIR)
if(Httplib_FOUND AND NOT TARGET Httplib::httplib)
  find_package(Threads REQUIRED)
  add_library(Httplib::httplib INTERFACE IMPORTED)
  target_include_directories(Httplib::httplib INTERFACE ${HTTPLIB_INCLUDE_DIR})
  target_link_libraries(Httplib::httplib INTERFACE Threads::Threads)
  if(HTTPLIB_LIBRARY)
    find_package(OpenSSL REQUIRED)
    target_link_libraries(Httplib::httplib INTERFACE ${HTTPLIB_LIBRARY} OpenSSL::SSL)
    # The layout of its classes depends on these macros; they are those of Debian's cpp-httplib.pc.
    target_compile_definitions(Httplib::httplib INTERFACE
      CPPHTTPLIB_OPENSSL_SUPPORT CPPHTTPLIB_ZLIB_SUPPORT CPPHTTPLIB_BROTLI_SUPPORT)
  endif()
endif()
mark_as_advanced(HTTPLIB_INCLUDE_DIR HTTPLIB_LIBRARY)
