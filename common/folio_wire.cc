#include "common/folio_wire.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace farswap {
namespace {

static_assert(std::endian::native == std::endian::little,
              "fixed64 fields are copied as they are");

// Protobuf's wire types.
enum WireType : uint32_t {
  kVarint = 0,
  kFixed64 = 1,
  kLengthDelimited = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

constexpr uint32_t Tag(uint32_t field, WireType type) {
  return field << 3 | type;
}

// PutFoliosRequest and GetFoliosRequest share their first three fields.
constexpr uint32_t kSessionIdTag = Tag(1, kFixed64);
constexpr uint32_t kEpochTag = Tag(2, kVarint);
constexpr uint32_t kFoliosTag = Tag(3, kLengthDelimited);
constexpr uint32_t kBodyTag = Tag(15, kLengthDelimited);
// FolioRef.
constexpr uint32_t kClusterTag = Tag(1, kVarint);
constexpr uint32_t kGenerationTag = Tag(2, kFixed64);
constexpr uint32_t kSlotTag = Tag(3, kVarint);
constexpr uint32_t kOrderTag = Tag(4, kVarint);
// Each of these tags, field number 15 at most, is one byte.
static_assert(kBodyTag < 0x80);

constexpr int kVarint64Bytes = 10;
// What protobuf reads for a tag or a length.
constexpr int kVarint32Bytes = 5;
constexpr uint64_t kMaxLength = (uint64_t{1} << 31) - 1;
// As deep as protobuf follows nested unknown groups.
constexpr int kMaxDepth = 100;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "malformed message: ", absl::string_view(what.data(), what.size())));
}

// --- encoding: a canonical writer leaves fields out that are zero ---

size_t VarintSize(uint64_t value) {
  return 1 + (std::bit_width(value | 1) - 1) / 7;
}

size_t VarintFieldSize(uint64_t value) {
  return value == 0 ? 0 : 1 + VarintSize(value);
}

size_t Fixed64FieldSize(uint64_t value) { return value == 0 ? 0 : 9; }

uint8_t* WriteVarint(uint8_t* to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<uint8_t>(value | 0x80);
  *to++ = static_cast<uint8_t>(value);
  return to;
}

uint8_t* WriteVarintField(uint8_t* to, uint32_t tag, uint64_t value) {
  if (value == 0) return to;
  *to++ = static_cast<uint8_t>(tag);
  return WriteVarint(to, value);
}

uint8_t* WriteFixed64Field(uint8_t* to, uint32_t tag, uint64_t value) {
  if (value == 0) return to;
  *to++ = static_cast<uint8_t>(tag);
  std::memcpy(to, &value, sizeof(value));
  return to + sizeof(value);
}

size_t FolioSize(const WireFolioRef& folio) {
  return VarintFieldSize(folio.cluster) + Fixed64FieldSize(folio.generation) +
         VarintFieldSize(folio.slot) + VarintFieldSize(folio.order);
}

uint8_t* WriteFolio(uint8_t* to, const WireFolioRef& folio) {
  *to++ = static_cast<uint8_t>(kFoliosTag);
  to = WriteVarint(to, FolioSize(folio));
  to = WriteVarintField(to, kClusterTag, folio.cluster);
  to = WriteFixed64Field(to, kGenerationTag, folio.generation);
  to = WriteVarintField(to, kSlotTag, folio.slot);
  return WriteVarintField(to, kOrderTag, folio.order);
}

// Also what a body's tag and length take: both are left out if it is empty.
size_t HeaderSize(const WireFolioHeader& header, size_t body_bytes) {
  size_t size = Fixed64FieldSize(header.session_id) +
                VarintFieldSize(header.epoch) + VarintFieldSize(body_bytes);
  for (const WireFolioRef& folio : header.folios) {
    const size_t folio_size = FolioSize(folio);
    size += 1 + VarintSize(folio_size) + folio_size;
  }
  return size;
}

grpc::Slice EncodeHeader(const WireFolioHeader& header, size_t body_bytes) {
  grpc::Slice slice(HeaderSize(header, body_bytes));
  // Nobody else has the slice yet.
  uint8_t* to = const_cast<uint8_t*>(slice.begin());
  to = WriteFixed64Field(to, kSessionIdTag, header.session_id);
  to = WriteVarintField(to, kEpochTag, header.epoch);
  for (const WireFolioRef& folio : header.folios) to = WriteFolio(to, folio);
  WriteVarintField(to, kBodyTag, body_bytes);
  return slice;
}

// --- parsing ---

bool ReadTag(SliceCursor* from, uint32_t* tag) {
  uint64_t value = 0;
  if (!from->ReadVarint(kVarint32Bytes, &value)) return false;
  *tag = static_cast<uint32_t>(value);
  return *tag >> 3 != 0;
}

bool TakeLengthDelimited(SliceCursor* from, SliceCursor* part) {
  uint64_t size = 0;
  return from->ReadVarint(kVarint32Bytes, &size) && size <= kMaxLength &&
         from->Take(size, part);
}

bool ReadUint32(SliceCursor* from, uint32_t* value) {
  uint64_t wide = 0;
  if (!from->ReadVarint(kVarint64Bytes, &wide)) return false;
  *value = static_cast<uint32_t>(wide);  // As protobuf does.
  return true;
}

// Skips a value that is not a group.
bool SkipValue(SliceCursor* from, uint32_t type) {
  uint64_t value = 0;
  SliceCursor part;
  switch (type) {
    case kVarint:
      return from->ReadVarint(kVarint64Bytes, &value);
    case kFixed64:
      return from->Skip(8);
    case kLengthDelimited:
      return TakeLengthDelimited(from, &part);
    case kFixed32:
      return from->Skip(4);
    default:
      return false;
  }
}

// Skips an unknown field whose tag has been read; groups, which end with a tag
// of their own field number, without recursion.
bool SkipField(SliceCursor* from, uint32_t tag, int max_depth) {
  absl::InlinedVector<uint32_t, 8> groups;
  while (true) {
    if ((tag & 7) == kStartGroup) {
      if (groups.size() == static_cast<size_t>(max_depth)) return false;
      groups.push_back(tag >> 3);
    } else if ((tag & 7) == kEndGroup) {
      if (groups.empty() || groups.back() != tag >> 3) return false;
      groups.pop_back();
    } else if (!SkipValue(from, tag & 7)) {
      return false;
    }
    if (groups.empty()) return true;
    if (!ReadTag(from, &tag)) return false;
  }
}

bool ParseFolioField(SliceCursor* from, uint32_t tag, WireFolioRef* folio) {
  switch (tag) {
    case kClusterTag:
      return from->ReadVarint(kVarint64Bytes, &folio->cluster);
    case kGenerationTag:
      return from->ReadFixed64(&folio->generation);
    case kSlotTag:
      return ReadUint32(from, &folio->slot);
    case kOrderTag:
      return ReadUint32(from, &folio->order);
    default:
      return SkipField(from, tag, kMaxDepth - 1);
  }
}

bool ParseFolio(SliceCursor from, WireFolioRef* folio) {
  while (from.remaining() > 0) {
    uint32_t tag = 0;
    if (!ReadTag(&from, &tag) || !ParseFolioField(&from, tag, folio)) {
      return false;
    }
  }
  return true;
}

absl::Status AddFolio(SliceCursor* from, size_t max_folios,
                      WireFolioHeader* header) {
  SliceCursor part;
  if (!TakeLengthDelimited(from, &part)) return Malformed("folios: cut short");
  if (header->folios.size() == max_folios) {
    return absl::InvalidArgumentError(
        absl::StrCat("folios: more than ", max_folios));
  }
  header->folios.emplace_back();
  if (ParseFolio(part, &header->folios.back())) return absl::OkStatus();
  return Malformed("folios: not a FolioRef");
}

absl::Status ParseHeaderField(SliceCursor* from, uint32_t tag,
                              size_t max_folios, WireFolioHeader* header) {
  switch (tag) {
    case kSessionIdTag:
      return from->ReadFixed64(&header->session_id)
                 ? absl::OkStatus()
                 : Malformed("session_id: cut short");
    case kEpochTag:
      return ReadUint32(from, &header->epoch) ? absl::OkStatus()
                                              : Malformed("epoch: no varint");
    case kFoliosTag:
      return AddFolio(from, max_folios, header);
    default:
      return SkipField(from, tag, kMaxDepth)
                 ? absl::OkStatus()
                 : Malformed("cut short, or no such wire type");
  }
}

// Not by assignment: gcc 12 takes the moved inline storage for uninitialised.
void Reset(WireFolioHeader* header) {
  header->session_id = 0;
  header->epoch = 0;
  header->folios.clear();
}

// `header` is null for a response, `body` for a message without one.
absl::Status Parse(absl::Span<const std::string_view> slices, size_t max_folios,
                   WireFolioHeader* header, SliceCursor* body) {
  SliceCursor from(slices);
  while (from.remaining() > 0) {
    uint32_t tag = 0;
    if (!ReadTag(&from, &tag)) return Malformed("no tag");
    if (body != nullptr && tag == kBodyTag) {
      if (!TakeLengthDelimited(&from, body))
        return Malformed("body: cut short");
    } else if (header != nullptr) {
      absl::Status status = ParseHeaderField(&from, tag, max_folios, header);
      if (!status.ok()) return status;
    } else if (!SkipField(&from, tag, kMaxDepth)) {
      return Malformed("cut short, or no such wire type");
    }
  }
  return absl::OkStatus();
}

}  // namespace

SliceCursor::SliceCursor(absl::Span<const std::string_view> slices)
    : slices_(slices) {
  for (std::string_view slice : slices) remaining_ += slice.size();
}

const std::string_view* SliceCursor::Current() {
  while (!slices_.empty() && offset_ == slices_.front().size()) {
    slices_.remove_prefix(1);
    offset_ = 0;
  }
  return slices_.empty() ? nullptr : &slices_.front();
}

bool SliceCursor::CopyTo(void* to, size_t size) {
  if (size > remaining_) return false;
  remaining_ -= size;
  char* out = static_cast<char*>(to);
  while (size > 0) {
    const std::string_view* slice = Current();
    const size_t part = std::min(size, slice->size() - offset_);
    std::memcpy(out, slice->data() + offset_, part);
    out += part;
    offset_ += part;
    size -= part;
  }
  return true;
}

bool SliceCursor::Skip(size_t size) {
  SliceCursor part;
  return Take(size, &part);
}

bool SliceCursor::Take(size_t size, SliceCursor* part) {
  if (size > remaining_) return false;
  *part = *this;
  part->remaining_ = size;
  remaining_ -= size;
  while (size > 0) {
    const size_t step = std::min(size, Current()->size() - offset_);
    offset_ += step;
    size -= step;
  }
  return true;
}

bool SliceCursor::ReadByte(uint8_t* byte) {
  if (remaining_ == 0) return false;
  *byte = static_cast<uint8_t>((*Current())[offset_]);
  ++offset_;
  --remaining_;
  return true;
}

bool SliceCursor::ReadVarint(int max_bytes, uint64_t* value) {
  SliceCursor at = *this;
  uint64_t result = 0;
  for (int i = 0; i < max_bytes; ++i) {
    uint8_t byte = 0;
    if (!at.ReadByte(&byte)) return false;
    result |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte >= 0x80) continue;
    *this = at;
    *value = result;
    return true;
  }
  return false;
}

bool SliceCursor::ReadFixed64(uint64_t* value) {
  return CopyTo(value, sizeof(*value));
}

absl::Status WireMessage::Init(const grpc::ByteBuffer& buffer) {
  const grpc::Status dumped = buffer.Dump(&slices_);
  if (!dumped.ok()) return Malformed("its bytes cannot be read");
  views_.clear();
  views_.reserve(slices_.size());
  for (const grpc::Slice& slice : slices_) {
    views_.emplace_back(reinterpret_cast<const char*>(slice.begin()),
                        slice.size());
  }
  return absl::OkStatus();
}

grpc::Slice EncodePutHeader(const WireFolioHeader& header, size_t body_bytes) {
  return EncodeHeader(header, body_bytes);
}

grpc::Slice EncodeGet(const WireFolioHeader& header) {
  return EncodeHeader(header, 0);
}

grpc::Slice EncodeGetResponseHeader(size_t body_bytes) {
  return EncodeHeader(WireFolioHeader(), body_bytes);
}

absl::Status ParsePut(absl::Span<const std::string_view> slices,
                      size_t max_folios, WireFolioHeader* header,
                      SliceCursor* body) {
  Reset(header);
  *body = SliceCursor();
  return Parse(slices, max_folios, header, body);
}

absl::Status ParseGet(absl::Span<const std::string_view> slices,
                      size_t max_folios, WireFolioHeader* header) {
  Reset(header);
  return Parse(slices, max_folios, header, nullptr);
}

absl::Status ParseGetResponse(absl::Span<const std::string_view> slices,
                              SliceCursor* body) {
  *body = SliceCursor();
  return Parse(slices, 0, nullptr, body);
}

}  // namespace farswap
