// SPDX-License-Identifier: Apache-2.0
// Gives the strings of a key=value command line the types that control commands want.
//
// QEMU reads such values by its schema, which knows the type of every option. Here drivers read
// their own options when they open, and take no strings for numbers, so that blockdev-add stays as
// strict as QEMU's. Types therefore come from two tables: the command table knows the arguments of
// commands; for options of drivers and objects one list by name says which are switches, numbers
// and sizes, whatever they are nested in. Every other value stays a string, and it is for its
// reader to accept or refuse.
//
// Ownership: values.
// Threads: pure.
// Errors: EINVAL, with QEMU's text, which names the option by its path.
// Invariants: a value that is no string is left alone: JSON carries its own types.
#pragma once

#include "absl/status/status.h"
#include "control/qmp/qmp_command.h"
#include "nlohmann/json.hpp"

namespace penstock {

// By the command's table: its switches and numbers.
absl::Status give_argument_types(const QmpCommand& command, nlohmann::json& arguments);

// By the names of options, at every depth: for blockdev-add and object-add.
absl::Status give_option_types(nlohmann::json& options);

}  // namespace penstock
