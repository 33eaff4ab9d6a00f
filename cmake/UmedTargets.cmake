# Helpers that every src/ and tests/ folder uses.

# Flags common to all our targets; compile flags live on this interface target, never globally.
add_library(umed_flags INTERFACE)
target_compile_options(umed_flags INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wvla -Wpointer-arith -Wno-missing-field-initializers -fno-math-errno -ffp-contract=fast)
target_compile_definitions(umed_flags INTERFACE _GNU_SOURCE)
if(UMED_WERROR)
  target_compile_options(umed_flags INTERFACE -Werror)
endif()
if(UMED_SANITIZE)
  target_compile_options(umed_flags INTERFACE -fsanitize=${UMED_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(umed_flags INTERFACE -fsanitize=${UMED_SANITIZE})
endif()

# umed_library(FOLDER SOURCES ... [PUBLIC deps...] [PRIVATE deps...]): the static library of src/FOLDER, named umed_FOLDER.
function(umed_library folder)
  cmake_parse_arguments(A "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(umed_${folder} STATIC ${A_SOURCES})
  target_include_directories(umed_${folder} PUBLIC "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(umed_${folder} PUBLIC ${A_PUBLIC} PRIVATE umed_flags ${A_PRIVATE})
endfunction()

# umed_test(NAME SOURCES ... LIBS ... [LABELS ...] [TIMEOUT s]): one cmocka program, one ctest entry; exit 77 means skipped.
function(umed_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;LIBS;LABELS;ARGS" ${ARGN})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  add_executable(test_${name} ${A_SOURCES})
  target_include_directories(test_${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_link_libraries(test_${name} PRIVATE umed_flags ${A_LIBS} PkgConfig::CMOCKA)
  add_test(NAME ${name} COMMAND test_${name} ${A_ARGS})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} SKIP_RETURN_CODE 77 LABELS "${A_LABELS}"
    ENVIRONMENT "UMED_SOURCE_DIR=${PROJECT_SOURCE_DIR};UMED_SHARED_DIR=${PROJECT_SOURCE_DIR}/../shared;OMP_WAIT_POLICY=passive")
endfunction()
