// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <system_error>

#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace penstock {
namespace {

constexpr char kErrnoPayload[] = "penstock/errno";

absl::StatusCode code_of(int error_number) {
  switch (error_number) {
    case 0:
      return absl::StatusCode::kOk;
    case EINVAL:
    case ENAMETOOLONG:
      return absl::StatusCode::kInvalidArgument;
    case ENOENT:
    case ENXIO:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EPERM:
    case EACCES:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    case EBUSY:
      return absl::StatusCode::kFailedPrecondition;
    case EAGAIN:
    case ENODEV:
      return absl::StatusCode::kUnavailable;
    case ENOSYS:
    case EOPNOTSUPP:
      return absl::StatusCode::kUnimplemented;
    case ECANCELED:
      return absl::StatusCode::kCancelled;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case ERANGE:
    case EFBIG:
    case EOVERFLOW:
      return absl::StatusCode::kOutOfRange;
    default:
      return absl::StatusCode::kUnknown;
  }
}

std::optional<int> payload_errno(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrnoPayload);
  if (!payload.has_value()) return std::nullopt;
  return std::atoi(std::string(*payload).c_str());
}

absl::Status with_errno(absl::Status status, int error_number) {
  // Not Cord's template for std::string: clang 19 mangles it otherwise than the library's compiler.
  const std::string text = std::to_string(error_number);
  status.SetPayload(kErrnoPayload, absl::Cord(absl::string_view(text)));
  return status;
}

}  // namespace

absl::Status errno_status(int error_number, std::string_view what) {
  if (error_number == 0) return absl::OkStatus();
  // generic_category().message() is strerror without its shared buffer.
  return errno_message(error_number,
                       std::string(what) + ": " + std::generic_category().message(error_number));
}

absl::Status errno_message(int error_number, std::string_view message) {
  if (error_number == 0) return absl::OkStatus();
  return with_errno(absl::Status(code_of(error_number), std::string(message)), error_number);
}

int status_errno(const absl::Status& status) {
  if (status.ok()) return 0;
  if (const auto exact = payload_errno(status)) return *exact;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return EINVAL;
    case absl::StatusCode::kNotFound:
      return ENOENT;
    case absl::StatusCode::kAlreadyExists:
      return EEXIST;
    case absl::StatusCode::kPermissionDenied:
      return EACCES;
    case absl::StatusCode::kResourceExhausted:
      return ENOSPC;
    case absl::StatusCode::kFailedPrecondition:
      return EBUSY;
    case absl::StatusCode::kUnavailable:
      return EAGAIN;
    case absl::StatusCode::kUnimplemented:
      return EOPNOTSUPP;
    case absl::StatusCode::kCancelled:
      return ECANCELED;
    case absl::StatusCode::kDeadlineExceeded:
      return ETIMEDOUT;
    case absl::StatusCode::kOutOfRange:
      return ERANGE;
    default:
      return EIO;
  }
}

absl::Status annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), std::string(context) + ": " + status_text(status));
  const auto exact = payload_errno(status);
  return exact ? with_errno(std::move(annotated), *exact) : annotated;
}

std::string status_text(const absl::Status& status) { return std::string(status.message()); }

}  // namespace penstock
