#include "client/runtime/status_errno.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <climits>
#include <string>
#include <thread>

namespace farswap::runtime {
namespace {

TEST(StatusErrnoTest, EveryCodeHasItsErrno) {
  const struct {
    absl::StatusCode code;
    int error;
  } kTable[] = {
      {absl::StatusCode::kOk, 0},
      {absl::StatusCode::kCancelled, ECANCELED},
      {absl::StatusCode::kUnknown, EIO},
      {absl::StatusCode::kInvalidArgument, EINVAL},
      {absl::StatusCode::kDeadlineExceeded, ETIMEDOUT},
      {absl::StatusCode::kNotFound, ENOENT},
      {absl::StatusCode::kAlreadyExists, EEXIST},
      {absl::StatusCode::kPermissionDenied, EPERM},
      {absl::StatusCode::kResourceExhausted, ENOMEM},
      {absl::StatusCode::kFailedPrecondition, EBUSY},
      {absl::StatusCode::kAborted, EAGAIN},
      {absl::StatusCode::kOutOfRange, ERANGE},
      {absl::StatusCode::kUnimplemented, ENOSYS},
      {absl::StatusCode::kInternal, EIO},
      {absl::StatusCode::kUnavailable, EHOSTUNREACH},
      {absl::StatusCode::kDataLoss, ENODATA},
      {absl::StatusCode::kUnauthenticated, EACCES},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(ErrnoOf(row.code), row.error)
        << absl::StatusCodeToString(row.code);
  }
  EXPECT_EQ(ErrnoOf(static_cast<absl::StatusCode>(99)), EIO);
}

TEST(StatusErrnoTest, ReportKeepsTheMessageOfTheLastFailure) {
  EXPECT_EQ(Report(absl::InvalidArgumentError("the limit is too small")),
            -EINVAL);
  EXPECT_STREQ(LastError(), "the limit is too small");
  EXPECT_EQ(Report(absl::OkStatus()), 0);
  EXPECT_STREQ(LastError(), "the limit is too small");
}

TEST(StatusErrnoTest, ALongMessageIsCut) {
  EXPECT_EQ(Report(absl::InternalError(std::string(10000, 'x'))), -EIO);
  EXPECT_EQ(std::string(LastError()), std::string(511, 'x'));
}

TEST(StatusErrnoTest, TheLastErrorIsTheThreadsOwn) {
  Report(absl::InternalError("mine"));
  std::thread([] {
    EXPECT_STREQ(LastError(), "");
    Report(absl::InternalError("theirs"));
  }).join();
  EXPECT_STREQ(LastError(), "mine");
}

TEST(StatusErrnoTest, DescribesEitherSign) {
  EXPECT_STREQ(Describe(-EINVAL), "EINVAL: Invalid argument");
  EXPECT_STREQ(Describe(EINVAL), "EINVAL: Invalid argument");
  EXPECT_STREQ(Describe(0), "success");
  EXPECT_STREQ(Describe(-4000), "unknown error -4000");
  EXPECT_STREQ(Describe(INT_MIN),
               ("unknown error " + std::to_string(INT_MIN)).c_str());
}

}  // namespace
}  // namespace farswap::runtime
