#include "client/runtime/status_errno.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/string_view.h"

namespace farswap::runtime {
namespace {

// Plain arrays: keeping a message must work when memory has run out, and a
// thread that ends late may still read it.
constexpr size_t kMessageBytes = 512;
thread_local char last_error[kMessageBytes];
thread_local char description[128];

}  // namespace

int ErrnoOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kCancelled:
      return ECANCELED;
    case absl::StatusCode::kInvalidArgument:
      return EINVAL;
    case absl::StatusCode::kDeadlineExceeded:
      return ETIMEDOUT;
    case absl::StatusCode::kNotFound:
      return ENOENT;
    case absl::StatusCode::kAlreadyExists:
      return EEXIST;
    case absl::StatusCode::kPermissionDenied:
      return EPERM;
    case absl::StatusCode::kUnauthenticated:
      return EACCES;
    case absl::StatusCode::kResourceExhausted:
      return ENOMEM;
    case absl::StatusCode::kFailedPrecondition:
      return EBUSY;
    case absl::StatusCode::kAborted:
      return EAGAIN;
    case absl::StatusCode::kOutOfRange:
      return ERANGE;
    case absl::StatusCode::kUnimplemented:
      return ENOSYS;
    case absl::StatusCode::kUnavailable:
      return EHOSTUNREACH;
    case absl::StatusCode::kDataLoss:
      return ENODATA;
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    default:
      return EIO;
  }
}

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  const absl::string_view message = status.message();
  const size_t length = std::min(message.size(), kMessageBytes - 1);
  std::memcpy(last_error, message.data(), length);
  last_error[length] = '\0';
  return -ErrnoOf(status.code());
}

const char* LastError() { return last_error; }

const char* Describe(int error) {
  // -INT_MIN is not an int, and no errno either.
  const int positive = error >= -4095 ? std::abs(error) : 4096;
  if (positive == 0) return "success";
  const char* name = strerrorname_np(positive);
  if (name == nullptr) {
    std::snprintf(description, sizeof(description), "unknown error %d", error);
  } else {
    std::snprintf(description, sizeof(description), "%s: %s", name,
                  strerrordesc_np(positive));
  }
  return description;
}

}  // namespace farswap::runtime
