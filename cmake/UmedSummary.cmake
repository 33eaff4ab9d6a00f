message(STATUS "umed ${PROJECT_VERSION} (${CMAKE_BUILD_TYPE}), compiler ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}")
message(STATUS "  MPI        ${UMED_MPI} ${MPI_C_VERSION}")
message(STATUS "  HDF5       ${HDF5_VERSION} (${HDF5_MODULE_NAME})")
message(STATUS "  OpenBLAS   ${OPENBLAS_LIBRARY} (tests only)")
message(STATUS "  libconfig  ${LIBCONFIG_VERSION}, libpng ${PNG_VERSION}, libjpeg ${JPEG_VERSION}, libzip ${ZIP_VERSION}, libcrypto ${CRYPTO_VERSION}, "
  "libdeflate ${DEFLATE_VERSION}")
message(STATUS "  CUDA       no backend in this version")
message(STATUS "  tests      ${UMED_TESTS}, sanitizers '${UMED_SANITIZE}'")
