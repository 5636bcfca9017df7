#include "server/metadata_format.h"

#include <gtest/gtest.h>

namespace farswap::server {
namespace {

const GrantRecord kGrant{7, 8, 9, 10};

TEST(MetadataFormatTest, ReadsWhatItWrote) {
  const Identity identity{"0123456789abcdef", 1, 2, 3};
  EXPECT_EQ(*DecodeIdentity(EncodeIdentity(identity)), identity);
  const SessionRecord session{7, 3, 60'000, "a host/a program"};
  EXPECT_EQ(*DecodeSession(SessionKey(7), EncodeSession(session)), session);
  EXPECT_EQ(*DecodeGrant(GrantKey(kGrant), EncodeGrant(kGrant)), kGrant);
}

TEST(MetadataFormatTest, KeysSortAsNumbersAndBeginWithTheirPrefix) {
  EXPECT_LT(SessionKey(255), SessionKey(256));
  EXPECT_LT(GrantKey({1, 2, 255, 0}), GrantKey({1, 2, 256, 0}));
  EXPECT_EQ(GrantKey(kGrant).find(RequestPrefix(7, 8)), 0u);
  EXPECT_EQ(RequestPrefix(7, 8).find(SessionKey(7)), 0u);
}

TEST(MetadataFormatTest, FindsEveryDamagedByte) {
  const std::string good = EncodeGrant(kGrant);
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 1;
    EXPECT_EQ(DecodeGrant(GrantKey(kGrant), bad).status().code(),
              absl::StatusCode::kDataLoss)
        << i;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodeGrant(GrantKey(kGrant), good.substr(0, size)).ok());
  }
}

TEST(MetadataFormatTest, FindsAValueUnderAnotherKey) {
  const GrantRecord other{7, 8, 11, 10};
  EXPECT_FALSE(DecodeGrant(GrantKey(other), EncodeGrant(kGrant)).ok());
}

}  // namespace
}  // namespace farswap::server
