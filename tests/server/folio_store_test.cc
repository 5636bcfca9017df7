#include "server/folio_store.h"

#include "server/error.h"
#include "tests/server/storage_fixture.h"

namespace farswap::server {
namespace {

class FolioStoreTest : public StorageFixture {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Open().ok());
    session_ = OpenSession();
    grants_ = Allocate(session_, 1, 2);
    ASSERT_EQ(grants_.size(), 2u);
  }

  FolioName Name(size_t grant, uint32_t slot, uint32_t order) const {
    return {grants_[grant].cluster, grants_[grant].generation, slot, order};
  }
  Reason PutReason(const std::vector<FolioName>& folios, size_t body) const {
    return ReasonOf(
        storage_->folios()
            .BeginPut(session_.session, session_.epoch, folios, body)
            .status());
  }
  Reason GetReason(const std::vector<FolioName>& folios) const {
    return ReasonOf(storage_->folios()
                        .BeginGet(session_.session, session_.epoch, folios)
                        .status());
  }

  Ownership::Attachment session_;
  std::vector<GrantRecord> grants_;
};

TEST_F(FolioStoreTest, SaysWhereEachFolioIs) {
  const auto batch = storage_->folios().BeginPut(
      session_.session, 1,
      std::vector<FolioName>{Name(1, 16, 4), Name(0, 511, 0)},
      BytesOf(4) + BytesOf(0));
  ASSERT_TRUE(batch.ok()) << batch.status();
  ASSERT_EQ(batch->pieces().size(), 2u);
  const char* const second = storage_->pool().Data(grants_[1].cluster);
  EXPECT_EQ(batch->pieces()[0].data, second + 16 * kPageBytes);
  EXPECT_EQ(batch->pieces()[0].bytes, BytesOf(4));
  const char* const first = storage_->pool().Data(grants_[0].cluster);
  EXPECT_EQ(batch->pieces()[1].data, first + 511 * kPageBytes);
}

TEST_F(FolioStoreTest, RefusesEveryMalformedBatch) {
  const std::vector<std::vector<FolioName>> cases = {
      {},
      {Name(0, 0, 10)},
      {Name(0, 0, ~0u)},
      {Name(0, 1, 1)},
      {Name(0, 256, 9)},
      {Name(0, 512, 0)},
      {Name(0, ~0u, 0)},
      {{grants_[0].cluster, 0, 0, 0}},
      {Name(0, 0, 9), Name(1, 0, 0)},  // Over max_batch_bytes.
      std::vector<FolioName>(513, Name(0, 0, 0)),
  };
  for (const auto& folios : cases) {
    size_t bytes = 0;
    for (const FolioName& folio : folios) {
      bytes += folio.order < 10 ? BytesOf(static_cast<int>(folio.order)) : 0;
    }
    EXPECT_EQ(PutReason(folios, bytes), Reason::kMalformed) << folios.size();
    EXPECT_EQ(GetReason(folios), Reason::kMalformed) << folios.size();
  }
}

TEST_F(FolioStoreTest, RefusesABodyOfAnotherLength) {
  EXPECT_EQ(PutReason({Name(0, 0, 0)}, 0), Reason::kMalformed);
  EXPECT_EQ(PutReason({Name(0, 0, 0)}, 4095), Reason::kMalformed);
  EXPECT_EQ(PutReason({Name(0, 0, 0)}, 4097), Reason::kMalformed);
  EXPECT_EQ(PutReason({Name(0, 0, 0)}, 4096), Reason::kUnspecified);
}

TEST_F(FolioStoreTest, RefusesASlotNamedTwiceInAPutOnly) {
  EXPECT_EQ(PutReason({Name(0, 4, 0), Name(0, 4, 0)}, 8192),
            Reason::kMalformed);
  EXPECT_EQ(PutReason({Name(0, 7, 0), Name(0, 4, 2)}, 5 * 4096),
            Reason::kMalformed);
  EXPECT_EQ(PutReason({Name(0, 4, 0), Name(1, 4, 0)}, 8192),
            Reason::kUnspecified);
  EXPECT_EQ(GetReason({Name(0, 4, 0), Name(0, 4, 0)}), Reason::kUnspecified);
}

TEST_F(FolioStoreTest, RefusesWhatIsNotTheSessions) {
  const FolioName good = Name(0, 0, 0);
  FolioName stale = Name(0, 1, 0);
  stale.generation += 100;
  FolioName foreign = Name(0, 1, 0);
  foreign.cluster = 7;
  FolioName nowhere = Name(0, 1, 0);
  nowhere.cluster = ~uint64_t{0};
  for (const FolioName& bad : {stale, foreign, nowhere}) {
    EXPECT_EQ(PutReason({good, bad}, 8192), Reason::kStaleGeneration);
    EXPECT_EQ(GetReason({good, bad}), Reason::kStaleGeneration);
  }
  // The good one's pin was let go.
  EXPECT_FALSE(storage_->clusters().IsPinned(good.cluster));
  session_.epoch = 2;
  EXPECT_EQ(PutReason({good}, 4096), Reason::kStaleEpoch);
  EXPECT_EQ(GetReason({good}), Reason::kStaleEpoch);
  session_.epoch = 0;
  EXPECT_EQ(GetReason({good}), Reason::kMalformed);
  session_ = OpenSession();
  EXPECT_EQ(GetReason({good}), Reason::kStaleGeneration);
  session_.session ^= 1;
  EXPECT_EQ(PutReason({good}, 4096), Reason::kUnknownSession);
}

TEST_F(FolioStoreTest, ABatchHoldsItsClustersAndItsEpochUntilItEnds) {
  auto put = storage_->folios().BeginPut(
      session_.session, 1, std::vector<FolioName>{Name(0, 0, 0)}, 4096);
  ASSERT_TRUE(put.ok());
  EXPECT_TRUE(storage_->clusters().IsPinned(grants_[0].cluster));
  const auto session = storage_->sessions().Find(session_.session);
  session->RaiseEpoch();
  EXPECT_FALSE(session->AwaitOlderPuts(std::chrono::steady_clock::now()));
  FolioBatch moved = *std::move(put);
  EXPECT_TRUE(storage_->clusters().IsPinned(grants_[0].cluster));
  moved = FolioBatch();
  EXPECT_FALSE(storage_->clusters().IsPinned(grants_[0].cluster));
  EXPECT_TRUE(session->AwaitOlderPuts(std::chrono::steady_clock::now()));
}

}  // namespace
}  // namespace farswap::server
