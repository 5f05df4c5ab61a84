# SPDX-License-Identifier: Apache-2.0
# penstock_test(NAME name SOURCES file... LIBS library...
#               [LABELS label...] [TIMEOUT seconds] [SERIAL])
#   Builds one GoogleTest program and registers each of its tests by itself. SERIAL: no other test
#   runs at the same time (for tests that measure time or use the machine's devices).
#   TIMEOUT is for an ordinary build; sanitizer builds get a multiple of it.
#
# penstock_script_test(NAME name COMMAND command...
#                      [LABELS label...] [TIMEOUT seconds] [SERIAL])
#   Registers a command as one test. Exit status 77 means skipped. The command finds the program
#   under test in PENSTOCK_PROGRAM, the trees in PENSTOCK_SOURCE_DIR and PENSTOCK_BUILD_DIR.
include(GoogleTest)

set(PENSTOCK_TEST_DEFAULT_TIMEOUT 120)
set(PENSTOCK_TEST_TIMEOUT_FACTOR 1)
if(PENSTOCK_SANITIZE)
  set(PENSTOCK_TEST_TIMEOUT_FACTOR 3)
endif()

function(penstock_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "SERIAL" "NAME;TIMEOUT" "SOURCES;LIBS;LABELS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_SOURCES)
    message(FATAL_ERROR "penstock_test: wants NAME and SOURCES, got ${ARGV}")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT ${PENSTOCK_TEST_DEFAULT_TIMEOUT})
  endif()
  math(EXPR timeout "${arg_TIMEOUT} * ${PENSTOCK_TEST_TIMEOUT_FACTOR}")

  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_LIBS} GTest::gmock GTest::gtest GTest::gtest_main)

  gtest_discover_tests(${arg_NAME}
    TEST_PREFIX "${arg_NAME}."
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60)
  # gtest_discover_tests loses properties that are lists, so a script sets them after discovery.
  set(script "${CMAKE_CURRENT_BINARY_DIR}/${arg_NAME}_properties.cmake")
  file(CONFIGURE OUTPUT "${script}" @ONLY CONTENT [[
if(@arg_NAME@_TESTS)
  set_tests_properties(${@arg_NAME@_TESTS} PROPERTIES
    TIMEOUT @timeout@
    RUN_SERIAL @arg_SERIAL@
    LABELS "@arg_LABELS@"
    ENVIRONMENT "@PENSTOCK_TEST_ENVIRONMENT@")
endif()
]])
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${script}")
endfunction()

function(penstock_script_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "SERIAL" "NAME;TIMEOUT" "COMMAND;LABELS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_COMMAND)
    message(FATAL_ERROR "penstock_script_test: wants NAME and COMMAND, got ${ARGV}")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT ${PENSTOCK_TEST_DEFAULT_TIMEOUT})
  endif()
  math(EXPR timeout "${arg_TIMEOUT} * ${PENSTOCK_TEST_TIMEOUT_FACTOR}")

  set(environment ${PENSTOCK_TEST_ENVIRONMENT}
    "PENSTOCK_SOURCE_DIR=${CMAKE_SOURCE_DIR}" "PENSTOCK_BUILD_DIR=${CMAKE_BINARY_DIR}"
    "PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support")
  if(TARGET penstock)
    list(APPEND environment "PENSTOCK_PROGRAM=$<TARGET_FILE:penstock>")
  endif()

  add_test(NAME ${arg_NAME} COMMAND ${arg_COMMAND})
  set_tests_properties(${arg_NAME} PROPERTIES
    TIMEOUT ${timeout}
    SKIP_RETURN_CODE 77
    RUN_SERIAL ${arg_SERIAL}
    LABELS "${arg_LABELS}"
    ENVIRONMENT "${environment}")
endfunction()
