// The data plane's messages (proto/farswap/v1/folio.proto), encoded and parsed
// by hand around raw slices: a folio's bytes cross the process without being
// gathered in a protobuf string, which costs three to five times as much at
// 2 MiB. On the wire it is plain protobuf: an encoded message is, byte for
// byte, what the generated class serialises to, and the parser accepts what
// the generated class accepts.
//
// A received message is a list of slices cut anywhere: the first may hold less
// than the header, a varint may lie across two. Nothing here owns the bytes;
// a WireMessage, which does, has to outlive cursors into it.
#ifndef FARSWAP_COMMON_FOLIO_WIRE_H_
#define FARSWAP_COMMON_FOLIO_WIRE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace farswap {

// FolioRef as it is on the wire: nothing of it has been checked.
struct WireFolioRef {
  uint64_t cluster = 0;
  uint64_t generation = 0;
  uint32_t slot = 0;
  uint32_t order = 0;

  bool operator==(const WireFolioRef&) const = default;
};

// What PutFoliosRequest, apart from its body, and GetFoliosRequest hold.
struct WireFolioHeader {
  uint64_t session_id = 0;
  uint32_t epoch = 0;
  // Most calls carry one; eight need no allocation.
  absl::InlinedVector<WireFolioRef, 8> folios;

  bool operator==(const WireFolioHeader&) const = default;
};

// The bytes from some place in a list of slices on, up to a limit. Cheap to
// copy. A read that would pass the limit returns false and moves nothing.
class SliceCursor {
 public:
  SliceCursor() = default;
  explicit SliceCursor(absl::Span<const std::string_view> slices);

  size_t remaining() const { return remaining_; }

  // Copies the next `size` bytes to `to`: called once for each destination,
  // it scatters a body with no buffer in between.
  bool CopyTo(void* to, size_t size);
  bool Skip(size_t size);
  // Splits off the next `size` bytes as a cursor of their own.
  bool Take(size_t size, SliceCursor* part);
  bool ReadByte(uint8_t* byte);
  // At most `max_bytes` (1 .. 10) bytes of base 128. As in protobuf, bits
  // beyond the 64th are dropped.
  bool ReadVarint(int max_bytes, uint64_t* value);
  bool ReadFixed64(uint64_t* value);

 private:
  // The first slice with bytes left, or null at the end of the list.
  const std::string_view* Current();

  absl::Span<const std::string_view> slices_;  // From the current one on.
  size_t offset_ = 0;                          // In slices_.front().
  size_t remaining_ = 0;
};

// A received message's slices, held. Not to be copied or moved: short slices
// keep their bytes inside themselves.
class WireMessage {
 public:
  WireMessage() = default;
  WireMessage(const WireMessage&) = delete;
  WireMessage& operator=(const WireMessage&) = delete;

  // Takes references to the buffer's slices; the buffer may go.
  absl::Status Init(const grpc::ByteBuffer& buffer);
  absl::Span<const std::string_view> slices() const { return views_; }

 private:
  std::vector<grpc::Slice> slices_;
  std::vector<std::string_view> views_;
};

// A PutFoliosRequest up to its body, the body's tag and length included: this
// slice and then `body_bytes` bytes are the message. At most 2^31 - 1 bytes.
grpc::Slice EncodePutHeader(const WireFolioHeader& header, size_t body_bytes);
// A whole GetFoliosRequest.
grpc::Slice EncodeGet(const WireFolioHeader& header);
// A GetFoliosResponse up to its body.
grpc::Slice EncodeGetResponseHeader(size_t body_bytes);

// Parsers. Fields may come in any order, unknown ones are skipped, a scalar or
// body that comes twice is what came last. INVALID_ARGUMENT with a reason for
// what is not protobuf, and for more than `max_folios` folios; then the
// outputs hold anything.
absl::Status ParsePut(absl::Span<const std::string_view> slices,
                      size_t max_folios, WireFolioHeader* header,
                      SliceCursor* body);
absl::Status ParseGet(absl::Span<const std::string_view> slices,
                      size_t max_folios, WireFolioHeader* header);
absl::Status ParseGetResponse(absl::Span<const std::string_view> slices,
                              SliceCursor* body);

}  // namespace farswap

#endif  // FARSWAP_COMMON_FOLIO_WIRE_H_
