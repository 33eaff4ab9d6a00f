# Writes OUTPUT (a C header) with the version of the sources in SOURCE: release number, git commit, "-dirty" when changed.
# Run at every build; the file is touched only when its content changes.
set(version "${RELEASE}")
find_package(Git QUIET)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --match "v[0-9]*" WORKING_DIRECTORY "${SOURCE}"
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    string(APPEND version "+g${commit}")
  endif()
endif()
set(text "#define UMED_VERSION \"${version}\"\n#define UMED_DEPENDENCIES \"${DEPENDENCIES}\"\n")
set(old "")
if(EXISTS "${OUTPUT}")
  file(READ "${OUTPUT}" old)
endif()
if(NOT old STREQUAL text)
  file(WRITE "${OUTPUT}" "${text}")
endif()
