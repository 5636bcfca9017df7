// The C API's errors: what a status is as an errno, and the last sentence.
#ifndef FARSWAP_CLIENT_RUNTIME_STATUS_ERRNO_H_
#define FARSWAP_CLIENT_RUNTIME_STATUS_ERRNO_H_

#include "absl/status/status.h"

namespace farswap::runtime {

// 0 for OK, else the positive errno of the status's code.
int ErrnoOf(absl::StatusCode code);

// Keeps the message for LastError() and returns -ErrnoOf(status); 0 for OK,
// which keeps the message of the failure before.
int Report(const absl::Status& status);

// The message of the calling thread's last failure; "" before the first.
// Valid until the thread's next call of Report.
const char* LastError();

// "EINVAL: Invalid argument", of an errno of either sign. Valid until the
// thread's next call.
const char* Describe(int error);

}  // namespace farswap::runtime

#endif  // FARSWAP_CLIENT_RUNTIME_STATUS_ERRNO_H_
