// A whole server without its network: storage over metadata in memory and a
// pool in a file, that can be opened again and again.
#ifndef FARSWAP_TESTS_SERVER_STORAGE_FIXTURE_H_
#define FARSWAP_TESTS_SERVER_STORAGE_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/storage.h"
#include "tests/server/manual_clock.h"
#include "tests/server/memory_metadata.h"
#include "tests/server/temp_dir.h"

namespace farswap::server {

class StorageFixture : public ::testing::Test {
 protected:
  StorageFixture() { options_.pool = {dir_ / "pool", 8, false}; }

  absl::Status Open() {
    storage_.reset();
    options_.log = [this](const std::string& line) { log_.push_back(line); };
    auto storage = Storage::Open(
        options_, std::make_unique<MemoryMetadata>(metadata_), &clock_);
    if (!storage.ok()) return storage.status();
    storage_ = *std::move(storage);
    return absl::OkStatus();
  }

  Ownership& ownership() { return storage_->ownership(); }

  // A session; dies with the test if there is none to be had.
  Ownership::Attachment OpenSession() {
    const auto session = ownership().Open("test", std::chrono::milliseconds(0));
    EXPECT_TRUE(session.ok()) << session.status();
    return session.value_or(Ownership::Attachment{});
  }

  std::vector<GrantRecord> Allocate(const Ownership::Attachment& session,
                                    uint64_t request, uint32_t count) {
    const auto grants =
        ownership().Allocate(session.session, session.epoch, request, count);
    EXPECT_TRUE(grants.ok()) << grants.status();
    return grants.value_or(std::vector<GrantRecord>{});
  }

  // Time, with the server's ticks in it.
  void Pass(std::chrono::seconds time) {
    for (; time.count() > 0; time -= std::chrono::seconds(1)) {
      clock_.Advance(std::chrono::seconds(1));
      ownership().Tick();
    }
  }

  // The first byte of a granted cluster.
  char& ByteOf(const GrantRecord& grant) {
    return *storage_->pool().Data(grant.cluster);
  }

  TempDir dir_;
  ManualClock clock_;
  Storage::Options options_;
  std::vector<std::string> log_;
  std::shared_ptr<MemoryMetadata::State> metadata_ =
      std::make_shared<MemoryMetadata::State>();
  std::unique_ptr<Storage> storage_;
};

}  // namespace farswap::server

#endif  // FARSWAP_TESTS_SERVER_STORAGE_FIXTURE_H_
