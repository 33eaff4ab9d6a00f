# Every third-party library, found once, as an imported target.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)

# HDF5: the serial API. Debian renames the default when the parallel package is installed too, so ask for the serial one first.
pkg_search_module(HDF5 REQUIRED IMPORTED_TARGET hdf5-serial hdf5)
pkg_check_modules(LIBCONFIG REQUIRED IMPORTED_TARGET libconfig)
pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(ZIP REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3)

# Compression of archives: libdeflate where it is, else zlib, which HDF5 and libpng need anyway.
pkg_check_modules(DEFLATE IMPORTED_TARGET libdeflate)
add_library(umed_deflate INTERFACE)
if(DEFLATE_FOUND)
  target_link_libraries(umed_deflate INTERFACE PkgConfig::DEFLATE)
  target_compile_definitions(umed_deflate INTERFACE UMED_LIBDEFLATE)
else()
  pkg_check_modules(ZLIB REQUIRED IMPORTED_TARGET zlib)
  target_link_libraries(umed_deflate INTERFACE PkgConfig::ZLIB)
endif()

if(UMED_MPI)
  find_package(MPI REQUIRED COMPONENTS C)
endif()
if(UMED_TESTS)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
  # OpenBLAS: an independent check of our matrix kernels, called from one thread (Debian's serial flavour is built without locks).
  find_library(OPENBLAS_LIBRARY NAMES openblas PATH_SUFFIXES openblas-serial . REQUIRED)
  find_path(OPENBLAS_INCLUDE_DIR NAMES cblas.h PATH_SUFFIXES openblas-serial openblas
    HINTS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial REQUIRED)
  add_library(umed_openblas INTERFACE)
  target_link_libraries(umed_openblas INTERFACE "${OPENBLAS_LIBRARY}")
  target_include_directories(umed_openblas SYSTEM INTERFACE "${OPENBLAS_INCLUDE_DIR}")
endif()
