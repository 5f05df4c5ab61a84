# SPDX-License-Identifier: Apache-2.0
# Language level, warnings, build types and sanitizers for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

if(NOT DEFINED CMAKE_COMPILE_WARNING_AS_ERROR)
  set(CMAKE_COMPILE_WARNING_AS_ERROR ON)
endif()
add_compile_options(-Wall -Wextra -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports overlapping copies inside its own std::string concatenation (GCC bug 105651).
  add_compile_options(-Wno-restrict)
  # Its plain -Wshadow also reports enumerators of an enum class, which hide nothing.
  add_compile_options(-Wshadow=local)
else()
  add_compile_options(-Wshadow -Wthread-safety)
endif()

# Checks that cost something at run time, and the points where tests step in (base/sync_point.h),
# exist in every build that keeps assert().
add_compile_definitions($<$<NOT:$<CONFIG:Release,RelWithDebInfo,MinSizeRel>>:PENSTOCK_DEBUG_CHECKS=1>
                        $<$<NOT:$<CONFIG:Release,RelWithDebInfo,MinSizeRel>>:PENSTOCK_SYNC_POINTS=1>)

set(PENSTOCK_TEST_ENVIRONMENT "")
if(PENSTOCK_SANITIZE)
  add_compile_options(-fsanitize=${PENSTOCK_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -O1)
  add_link_options(-fsanitize=${PENSTOCK_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The instrumentation hides initialisations from gcc's flow analysis.
    add_compile_options(-Wno-maybe-uninitialized)
  endif()
  if(PENSTOCK_SANITIZE MATCHES "address")
    # Coroutine stacks are known to ASan by hooks; its fake stacks would outlive a switch.
    list(APPEND PENSTOCK_TEST_ENVIRONMENT
      "ASAN_OPTIONS=halt_on_error=1:detect_leaks=1:detect_stack_use_after_return=0"
      "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/leaks_of_libraries.txt:print_suppressions=0")
  endif()
  if(PENSTOCK_SANITIZE MATCHES "undefined")
    list(APPEND PENSTOCK_TEST_ENVIRONMENT "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1")
  endif()
  if(PENSTOCK_SANITIZE MATCHES "thread")
    # By default every program waits a second at its end for races there; scripts start hundreds.
    list(APPEND PENSTOCK_TEST_ENVIRONMENT
      "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=50")
  endif()
endif()

if(PENSTOCK_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

include_directories("${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/generated")
