// The hand-written codec against the generated protobuf classes, both ways.
#include "common/folio_wire.h"

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/farswap/v1/folio.pb.h"

namespace farswap {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMaxFolios = 64;

std::string Bytes(const grpc::Slice& slice) {
  return std::string(reinterpret_cast<const char*>(slice.begin()),
                     slice.size());
}

// Every piece in heap memory of its exact size: ASan sees a read past it.
class Pieces {
 public:
  void Add(std::string_view piece) {
    auto& held = held_.emplace_back(new char[piece.size() + 1]);
    std::memcpy(held.get() + 1, piece.data(), piece.size());
    views_.emplace_back(held.get() + 1, piece.size());
  }
  absl::Span<const std::string_view> views() const { return views_; }

 private:
  std::vector<std::unique_ptr<char[]>> held_;
  std::vector<std::string_view> views_;
};

Pieces CutAt(std::string_view bytes, size_t at) {
  Pieces pieces;
  pieces.Add(bytes.substr(0, at));
  pieces.Add("");  // gRPC may hand out empty slices too.
  pieces.Add(bytes.substr(at));
  return pieces;
}

Pieces CutEvery(std::string_view bytes, size_t size) {
  Pieces pieces;
  for (size_t at = 0; at < bytes.size(); at += size) {
    pieces.Add(bytes.substr(at, size));
  }
  return pieces;
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  uint64_t Below(uint64_t bound) { return engine_() % bound; }
  // Of every width alike, so that varints of every length occur; often 0.
  uint64_t Wide() { return engine_() >> Below(65) % 64 >> Below(2); }
  std::string String(size_t size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(engine_());
    return bytes;
  }

 private:
  std::mt19937_64 engine_;
};

WireFolioHeader RandomHeader(Random* random) {
  WireFolioHeader header;
  header.session_id = random->Wide();
  header.epoch = static_cast<uint32_t>(random->Wide());
  for (uint64_t n = random->Below(12); n > 0; --n) {
    header.folios.push_back({random->Wide(), random->Wide(),
                             static_cast<uint32_t>(random->Wide()),
                             static_cast<uint32_t>(random->Below(10))});
  }
  return header;
}

template <typename Message>
void FillMessage(const WireFolioHeader& header, Message* message) {
  message->set_session_id(header.session_id);
  message->set_epoch(header.epoch);
  for (const WireFolioRef& folio : header.folios) {
    v1::FolioRef* ref = message->add_folios();
    ref->set_cluster(folio.cluster);
    ref->set_generation(folio.generation);
    ref->set_slot(folio.slot);
    ref->set_order(folio.order);
  }
}

template <typename Message>
WireFolioHeader HeaderOf(const Message& message) {
  WireFolioHeader header;
  header.session_id = message.session_id();
  header.epoch = message.epoch();
  for (const v1::FolioRef& ref : message.folios()) {
    header.folios.push_back(
        {ref.cluster(), ref.generation(), ref.slot(), ref.order()});
  }
  return header;
}

std::string Drain(SliceCursor cursor) {
  std::string bytes(cursor.remaining(), '\0');
  EXPECT_TRUE(cursor.CopyTo(bytes.data(), bytes.size()));
  EXPECT_EQ(cursor.remaining(), 0u);
  return bytes;
}

void ExpectPut(absl::Span<const std::string_view> slices,
               const WireFolioHeader& header, std::string_view body) {
  WireFolioHeader parsed;
  SliceCursor cursor;
  const absl::Status status = ParsePut(slices, kMaxFolios, &parsed, &cursor);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(parsed, header);
  EXPECT_EQ(Drain(cursor), body);
}

TEST(FolioWireEncode, IsWhatProtobufSerialises) {
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    SCOPED_TRACE(i);
    const WireFolioHeader header = RandomHeader(&random);
    const std::string body = random.String(random.Below(300));
    v1::PutFoliosRequest put;
    FillMessage(header, &put);
    put.set_body(body);
    ASSERT_EQ(Bytes(EncodePutHeader(header, body.size())) + body,
              put.SerializeAsString());
    v1::GetFoliosRequest get;
    FillMessage(header, &get);
    ASSERT_EQ(Bytes(EncodeGet(header)), get.SerializeAsString());
    v1::GetFoliosResponse response;
    response.set_body(body);
    ASSERT_EQ(Bytes(EncodeGetResponseHeader(body.size())) + body,
              response.SerializeAsString());
  }
}

TEST(FolioWireEncode, LongBody) {
  const std::string body(size_t{2} << 20, 'x');
  v1::PutFoliosRequest put;
  put.set_session_id(~uint64_t{0});
  put.set_body(body);
  WireFolioHeader header;
  header.session_id = ~uint64_t{0};
  EXPECT_EQ(Bytes(EncodePutHeader(header, body.size())) + body,
            put.SerializeAsString());
}

TEST(FolioWireParse, PutCutAtEveryByte) {
  Random random(2);
  for (int i = 0; i < 100; ++i) {
    SCOPED_TRACE(i);
    const WireFolioHeader header = RandomHeader(&random);
    const std::string body = random.String(random.Below(40));
    v1::PutFoliosRequest put;
    FillMessage(header, &put);
    put.set_body(body);
    const std::string bytes = put.SerializeAsString();
    for (size_t at = 0; at <= bytes.size(); ++at) {
      ExpectPut(CutAt(bytes, at).views(), header, body);
    }
    ExpectPut(CutEvery(bytes, 1).views(), header, body);
    ExpectPut(CutEvery(bytes, 3).views(), header, body);
  }
}

TEST(FolioWireParse, GetAndResponseCutAtEveryByte) {
  Random random(3);
  for (int i = 0; i < 100; ++i) {
    SCOPED_TRACE(i);
    const WireFolioHeader header = RandomHeader(&random);
    v1::GetFoliosRequest get;
    FillMessage(header, &get);
    const std::string bytes = get.SerializeAsString();
    for (size_t at = 0; at <= bytes.size(); ++at) {
      WireFolioHeader parsed;
      ASSERT_TRUE(ParseGet(CutAt(bytes, at).views(), kMaxFolios, &parsed).ok());
      ASSERT_EQ(parsed, header);
    }
    v1::GetFoliosResponse response;
    response.set_body(random.String(random.Below(300)));
    const std::string answer = response.SerializeAsString();
    for (size_t at = 0; at <= answer.size(); ++at) {
      const Pieces pieces = CutAt(answer, at);
      SliceCursor cursor;
      ASSERT_TRUE(ParseGetResponse(pieces.views(), &cursor).ok());
      ASSERT_EQ(Drain(cursor), response.body());
    }
  }
}

TEST(FolioWireParse, BodyNeedNotBeLastAndFieldsMayComeInAnyOrder) {
  v1::PutFoliosRequest parts[4];
  parts[0].set_body("bytes of folios");
  parts[1].set_session_id(7);
  parts[2].set_epoch(3);
  v1::FolioRef* ref = parts[3].add_folios();
  ref->set_cluster(300);
  ref->set_slot(8);
  WireFolioHeader header;
  header.session_id = 7;
  header.epoch = 3;
  header.folios.push_back({300, 0, 8, 0});
  std::vector<int> order = {0, 1, 2, 3};
  do {
    std::string bytes;
    for (int part : order) bytes += parts[part].SerializeAsString();
    for (size_t at = 0; at <= bytes.size(); ++at) {
      ExpectPut(CutAt(bytes, at).views(), header, "bytes of folios");
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(FolioWireParse, TheLastOfARepeatedScalarWins) {
  v1::PutFoliosRequest first;
  first.set_session_id(1);
  first.set_body("old");
  v1::PutFoliosRequest second;
  second.set_session_id(2);
  second.set_body("");
  const std::string bytes = first.SerializeAsString() +
                            second.SerializeAsString() +
                            std::string("\x7a\x00", 2);  // An empty body.
  WireFolioHeader header;
  header.session_id = 2;
  ExpectPut(CutEvery(bytes, 2).views(), header, "");
}

TEST(FolioWireParse, NoFieldsAtAll) {
  ExpectPut({}, WireFolioHeader(), "");
  ExpectPut(CutAt("", 0).views(), WireFolioHeader(), "");
}

TEST(FolioWireParse, UnknownFieldsOfEveryWireTypeAreSkipped) {
  const std::string unknown[] = {
      std::string("\x38\x96\x01", 3),              // 7: varint
      std::string("\x39\1\2\3\4\5\6\7\x08", 9),    // 7: fixed64
      std::string("\x3a\x03\x01\x02\x03", 5),      // 7: bytes
      std::string("\x3d\1\2\3\4", 5),              // 7: fixed32
      std::string("\x3b\x08\x01\x43\x44\x3c", 6),  // 7: nested groups
      std::string("\x08\x05", 2),                  // 1 as a varint
      std::string("\xf8\xff\xff\xff\x0f\x01", 6),  // the highest field
  };
  WireFolioHeader header;
  header.session_id = 5;
  header.folios.push_back({1, 2, 3, 0});
  v1::PutFoliosRequest put;
  FillMessage(header, &put);
  put.set_body("body");
  for (const std::string& field : unknown) {
    SCOPED_TRACE(testing::PrintToString(field));
    const std::string bytes = field + put.SerializeAsString() + field;
    ASSERT_TRUE(v1::PutFoliosRequest().ParseFromString(bytes));
    for (size_t at = 0; at <= bytes.size(); ++at) {
      ExpectPut(CutAt(bytes, at).views(), header, "body");
    }
  }
}

struct BadCase {
  const char* name;
  std::string bytes;
  const char* says;
};

TEST(FolioWireParse, RefusesWhatIsNotProtobuf) {
  const BadCase cases[] = {
      {"field 0", std::string("\x00\x01", 2), "no tag"},
      {"endless tag", std::string(6, '\xff'), "no tag"},
      {"session cut short", std::string("\x09\1\2\3", 4), "session_id"},
      {"epoch without end", "\x10" + std::string(10, '\xff'), "epoch"},
      {"folio cut short", std::string("\x1a\x05\x08", 3), "folios"},
      {"folio's field cut short", std::string("\x1a\x02\x11\x01", 4), "folios"},
      {"body cut short",
       std::string("\x7a\x05"
                   "abc",
                   5),
       "body"},
      {"length of 2^31", std::string("\x7a\x80\x80\x80\x80\x08", 6), "body"},
      {"length of 2^64 - 1", "\x7a" + std::string(9, '\xff') + "\x01", "body"},
      {"wire type 6", std::string("\x3e\x01", 2), "wire type"},
      {"end without group", std::string("\x3c", 1), "wire type"},
      {"group without end", std::string("\x3b\x08\x01", 3), "wire type"},
      {"group of another end", std::string("\x3b\x44", 2), "wire type"},
      {"groups too deep", std::string(101, '\x3b') + std::string(101, '\x3c'),
       "wire type"},
  };
  for (const BadCase& bad : cases) {
    SCOPED_TRACE(bad.name);
    WireFolioHeader header;
    SliceCursor body;
    for (size_t at = 0; at <= bad.bytes.size(); ++at) {
      const Pieces pieces = CutAt(bad.bytes, at);
      const absl::Status status =
          ParsePut(pieces.views(), kMaxFolios, &header, &body);
      ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      ASSERT_THAT(std::string(status.message()), HasSubstr(bad.says));
    }
    EXPECT_FALSE(v1::PutFoliosRequest().ParseFromString(bad.bytes));
  }
}

TEST(FolioWireParse, EveryTruncationIsRefusedOrAShorterMessage) {
  Random random(4);
  const WireFolioHeader header = RandomHeader(&random);
  v1::PutFoliosRequest put;
  FillMessage(header, &put);
  put.set_body("0123456789");
  const std::string bytes = put.SerializeAsString();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const Pieces pieces = CutEvery(std::string_view(bytes).substr(0, size), 5);
    WireFolioHeader parsed;
    SliceCursor body;
    const bool ok = ParsePut(pieces.views(), kMaxFolios, &parsed, &body).ok();
    EXPECT_EQ(ok, v1::PutFoliosRequest().ParseFromString(bytes.substr(0, size)))
        << size;
    EXPECT_TRUE(!ok || body.remaining() == 0);
  }
}

TEST(FolioWireParse, FoliosAreBounded) {
  v1::GetFoliosRequest get;
  for (int i = 0; i < 3; ++i) get.add_folios()->set_slot(i);
  const std::string bytes = get.SerializeAsString();
  WireFolioHeader header;
  EXPECT_TRUE(ParseGet(CutAt(bytes, 1).views(), 3, &header).ok());
  EXPECT_EQ(header.folios.size(), 3u);
  const absl::Status status = ParseGet(CutAt(bytes, 1).views(), 2, &header);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "folios: more than 2");
}

// Mutates a valid message, or makes one up: both parsers must agree.
std::string Garbage(Random* random) {
  if (random->Below(4) == 0) return random->String(random->Below(40));
  v1::PutFoliosRequest put;
  FillMessage(RandomHeader(random), &put);
  put.set_body(random->String(random->Below(20)));
  std::string bytes = put.SerializeAsString();
  for (uint64_t n = random->Below(4); n > 0 && !bytes.empty(); --n) {
    const size_t at = random->Below(bytes.size());
    switch (random->Below(3)) {
      case 0:
        bytes[at] = static_cast<char>(random->Wide());
        break;
      case 1:
        bytes.erase(at, 1 + random->Below(4));
        break;
      default:
        bytes.insert(at, random->String(1 + random->Below(4)));
    }
  }
  return bytes;
}

TEST(FolioWireParse, AgreesWithProtobufOnGarbage) {
  Random random(5);
  int accepted = 0;
  constexpr int kRounds = 40000;
  for (int i = 0; i < kRounds; ++i) {
    const std::string bytes = Garbage(&random);
    const Pieces pieces = CutEvery(bytes, 1 + random.Below(bytes.size() + 1));
    WireFolioHeader header;
    SliceCursor body;
    const bool ok = ParsePut(pieces.views(), kMaxFolios, &header, &body).ok();
    v1::PutFoliosRequest put;
    ASSERT_EQ(ok, put.ParseFromString(bytes)) << testing::PrintToString(bytes);
    if (!ok) continue;
    ++accepted;
    ASSERT_EQ(header, HeaderOf(put)) << testing::PrintToString(bytes);
    ASSERT_EQ(Drain(body), put.body()) << testing::PrintToString(bytes);
  }
  // Neither all good nor all bad, or the comparison says little.
  EXPECT_GT(accepted, kRounds / 10);
  EXPECT_LT(accepted, kRounds * 9 / 10);
}

}  // namespace
}  // namespace farswap
