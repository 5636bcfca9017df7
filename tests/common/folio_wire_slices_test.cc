// The codec's view of gRPC's slices.
#include <string>
#include <string_view>
#include <vector>

#include "common/folio_wire.h"
#include "gtest/gtest.h"

namespace farswap {
namespace {

std::string Drain(SliceCursor cursor) {
  std::string bytes(cursor.remaining(), '\0');
  EXPECT_TRUE(cursor.CopyTo(bytes.data(), bytes.size()));
  EXPECT_EQ(cursor.remaining(), 0u);
  return bytes;
}

TEST(SliceCursorTest, ScattersOverDestinationsAndStopsAtItsLimit) {
  const std::vector<std::string_view> pieces = {"abcde", "fghij", "kl"};
  SliceCursor cursor(pieces);
  SliceCursor part;
  ASSERT_TRUE(cursor.Skip(1));
  ASSERT_TRUE(cursor.Take(9, &part));
  char a[6] = "", b[4] = "";
  ASSERT_TRUE(part.CopyTo(a, 5));
  EXPECT_FALSE(part.CopyTo(b, 5));
  EXPECT_EQ(part.remaining(), 4u);
  ASSERT_TRUE(part.CopyTo(b, 4));
  EXPECT_STREQ(a, "bcdef");
  EXPECT_EQ(std::string(b, 4), "ghij");
  uint8_t byte = 0;
  EXPECT_FALSE(part.ReadByte(&byte));
  EXPECT_EQ(Drain(cursor), "kl");
}

TEST(WireMessageTest, HoldsTheSlicesOfABufferThatIsGone) {
  WireMessage message;
  {
    const grpc::Slice slices[] = {grpc::Slice("ab"),
                                  grpc::Slice(std::string(1000, 'c'))};
    const grpc::ByteBuffer buffer(slices, 2);
    ASSERT_TRUE(message.Init(buffer).ok());
  }
  EXPECT_EQ(Drain(SliceCursor(message.slices())),
            "ab" + std::string(1000, 'c'));
}

TEST(WireMessageTest, RefusesABufferThatWasNeverFilled) {
  WireMessage message;
  EXPECT_EQ(message.Init(grpc::ByteBuffer()).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace farswap
