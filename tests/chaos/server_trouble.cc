#include "tests/chaos/server_trouble.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <thread>

namespace farswap::chaos {

ServerTrouble::ServerTrouble(uint64_t seed, const std::string& capacity,
                             bool lossy)
    : lossy_(lossy),
      random_(seed),
      server_(/*unix_socket=*/seed % 2 != 0, capacity),
      pool_(server_.pool()) {}

void ServerTrouble::SleepAtMost(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(Any(ms)));
}

void ServerTrouble::Delay() {
  server_.Stop();
  // Mostly short; sometimes as long as what the server takes for a machine
  // that stood still.
  SleepAtMost(Any(8) == 0 ? 3000 : 400);
  server_.Continue();
  ++delays_;
}

void ServerTrouble::Kill() {
  ++kills_;
  server_.Kill();
  StartAgain();
}

void ServerTrouble::Restart() {
  if (Any(4) != 0) return Kill();
  ++ends_;
  EXPECT_TRUE(server_.Terminate());
  StartAgain();
}

void ServerTrouble::StartAgain() {
  const char* const pool = lossy_ ? pool_.Lose(&random_) : "kept";
  SleepAtMost(300);
  ASSERT_TRUE(server_.Start());
  if (lossy_) {
    ++losses_;
    std::printf("the pool is %s: the server %s\n", pool,
                server_.Continues() ? "continues" : "begins anew");
  } else {
    EXPECT_TRUE(server_.Continues());
  }
}

void ServerTrouble::Make() {
  switch (Any(7)) {
    case 0:
    case 1:
      return Delay();
    case 2:
      if (lossy_) return pool_.Save();
      return Restart();
    case 3:
    case 4:
      if (lossy_) return pool_.FlipBytes(&random_);
      return Restart();
    default:
      // Not too often: what is lost must first have been written again.
      if (!lossy_ || Any(2) == 0) Restart();
  }
}

void ServerTrouble::Print() const {
  std::printf("%d delays, %d kills, %d ends, %d pools lost\n", delays_, kills_,
              ends_, losses_);
}

}  // namespace farswap::chaos
