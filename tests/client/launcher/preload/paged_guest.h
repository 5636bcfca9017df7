// A guest with a userfaultfd, all of whose memory is registered.
#ifndef FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PAGED_GUEST_H_
#define FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PAGED_GUEST_H_

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>

#include "tests/client/launcher/preload/peer.h"
#include "tests/client/launcher/preload/program.h"
#include "tests/client/runtime/privilege.h"

namespace farswap::launcher {

inline constexpr uint64_t kGuestPages = 64;

class PagedGuest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HasForkEvents()) GTEST_SKIP() << "no CAP_SYS_PTRACE";
    guest_ =
        std::make_unique<Program>(std::vector{GuestPath()}, listener_.run());
    peer_ = listener_.Accept();
    ASSERT_NE(peer_, nullptr);
    memory_ = std::stoull(guest_->Ask("memory"));
    uffd_ = peer_->MakeUffd();
    ASSERT_GE(uffd_, 0);
    ASSERT_TRUE(Register(uffd_, peer_->hello().tag_page, kPage));
    ASSERT_TRUE(Register(uffd_, transit(), kTransitBytes));
    ASSERT_TRUE(Register(uffd_, memory_, kGuestPages * kPage));
  }

  void TearDown() override {
    guest_.reset();
    if (uffd_ >= 0) close(uffd_);
  }

  uint64_t transit() const { return peer_->hello().transit; }

  // To the start of the transit.
  int MoveOut(uint64_t page) const {
    return peer_->Ask(Op::kMove, transit(), memory_ + page * kPage, kPage);
  }

  void ExpectPageReturns(uint64_t page) const {
    ASSERT_EQ(MoveOut(page), 0);
    const std::string taken = ReadMemory(guest_->pid(), transit(), kPage);
    guest_->Say("check");
    ASSERT_EQ(ReadFault(uffd_), memory_ + page * kPage);
    ASSERT_EQ(Copy(uffd_, memory_ + page * kPage, taken.data(), kPage), 0);
    EXPECT_EQ(guest_->Line(), "0");
  }

  // Whether there is an event, which is left unread.
  static bool ReadsSoon(int uffd) {
    pollfd ready{uffd, POLLIN, 0};
    return poll(&ready, 1, 20000) == 1;
  }

  Listener listener_;
  std::unique_ptr<Program> guest_;
  std::unique_ptr<Peer> peer_;
  uint64_t memory_ = 0;
  int uffd_ = -1;
};

}  // namespace farswap::launcher

#endif  // FARSWAP_TESTS_CLIENT_LAUNCHER_PRELOAD_PAGED_GUEST_H_
