// Metadata that outlives the server of a test, and can be made to fail.
#ifndef FARSWAP_TESTS_SERVER_MEMORY_METADATA_H_
#define FARSWAP_TESTS_SERVER_MEMORY_METADATA_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "server/metadata.h"

namespace farswap::server {

class MemoryMetadata : public Metadata {
 public:
  enum class Failure {
    kNone,
    kNotKept,  // Fails, and nothing was written.
    kKept,     // Fails, though all was written.
  };

  // What a disk would hold.
  struct State {
    Identity identity{"00112233445566778899aabbccddeeff", 0, 0, 1};
    std::map<uint64_t, SessionRecord> sessions;
    std::map<std::tuple<uint64_t, uint64_t, uint64_t>, GrantRecord> grants;
    Failure failure = Failure::kNone;
    bool reopen_fails = false;
    int writes = 0;
    size_t largest_group = 0;
    // Called inside each write.
    std::function<void()> on_write;
  };

  explicit MemoryMetadata(std::shared_ptr<State> state)
      : state_(std::move(state)) {}

  absl::StatusOr<Contents> Load() override {
    Contents contents;
    contents.identity = state_->identity;
    for (const auto& entry : state_->sessions) {
      contents.sessions.push_back(entry.second);
    }
    for (const auto& entry : state_->grants) {
      contents.grants.push_back(entry.second);
    }
    return contents;
  }

  absl::Status Write(const std::vector<const Change*>& changes,
                     uint64_t sequence) override {
    ++state_->writes;
    if (state_->on_write) state_->on_write();
    state_->largest_group = std::max(state_->largest_group, changes.size());
    if (state_->failure == Failure::kNotKept) return Broken();
    for (const Change* change : changes) Apply(*change);
    state_->identity.sequence = sequence;
    return state_->failure == Failure::kKept ? Broken() : absl::OkStatus();
  }

  absl::StatusOr<std::vector<GrantRecord>> FindRequest(
      uint64_t session, uint64_t request) override {
    std::vector<GrantRecord> found;
    for (const auto& [key, grant] : state_->grants) {
      if (grant.session == session && grant.request == request) {
        found.push_back(grant);
      }
    }
    return found;
  }

  absl::StatusOr<Identity> Reopen() override {
    if (state_->reopen_fails) return Broken();
    return state_->identity;
  }
  void Close() override {}

 private:
  static absl::Status Broken() {
    return absl::UnavailableError("the disk is broken");
  }

  void Apply(const Change& change) {
    if (change.new_incarnation.has_value()) {
      state_->sessions.clear();
      state_->grants.clear();
      state_->identity.incarnation = *change.new_incarnation;
    }
    state_->identity.generation_bound = std::max(
        state_->identity.generation_bound, change.generation_bound.value_or(0));
    for (const uint64_t id : change.end_sessions) {
      state_->sessions.erase(id);
      std::erase_if(state_->grants, [id](const auto& entry) {
        return entry.second.session == id;
      });
    }
    for (const SessionRecord& session : change.put_sessions) {
      state_->sessions[session.id] = session;
    }
    for (const GrantRecord& grant : change.frees) {
      state_->grants.erase({grant.session, grant.request, grant.cluster});
    }
    for (const GrantRecord& grant : change.grants) {
      state_->grants[{grant.session, grant.request, grant.cluster}] = grant;
    }
  }

  const std::shared_ptr<State> state_;
};

}  // namespace farswap::server

#endif  // FARSWAP_TESTS_SERVER_MEMORY_METADATA_H_
