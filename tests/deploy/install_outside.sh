#!/bin/bash
# What deploy/install installs is complete: a program in C, shared and static,
# and one in C++ are built through pkg-config and use a server of the same
# prefix, after the prefix was moved. Calls Bazel, so not a Bazel test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

work=$(mktemp -d /tmp/farswap-install-XXXXXX)
server=""
clean_up() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT

fail() {
  echo "FAILED: $*"
  exit 1
}

refused() {
  local status=0 words
  words=$(deploy/install "$@" 2>&1) || status=$?
  ((status == 2)) || fail "install $* ended with $status, not 2"
  (($(wc -l <<<"$words") == 1)) || fail "install $* said: $words"
}

refused
refused --prefix=
refused --prefix=/etc/passwd
refused --bogus

deploy/install --prefix="$work/first"
mv "$work/first" "$work/prefix"
export PKG_CONFIG_PATH=$work/prefix/lib/pkgconfig

for page in man1/farlua.1 man1/farswap-run.1 man8/farswap-server.8; do
  [[ -s $work/prefix/share/man/$page ]] || fail "no manual page $page"
done

names=$(nm -D --defined-only "$work/prefix/lib/libfarswap.so.0" |
  awk '$2 != "A" && $3 !~ /^farswap_.*@@FARSWAP_0\.1$/')
[[ -z $names ]] || fail "libfarswap.so.0 shows more than its API: $names"

# The README's example, with what surrounds it in a program.
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 }
  on && /^#include/ { print; print "int fail(const char*);"
                      print "int main(void) {"; next }
  on { print }
  END { print "return memory == 0; }" }' README.md >"$work/readme.c"

cat >"$work/program.c" <<'END'
#include <farswap.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char** argv) {
  farswap_client_options options;
  farswap_client_options_init(&options, sizeof(options));
  options.servers = argv[1];
  farswap_client* client;
  farswap_group_options limit = {sizeof(limit), 8 << 20};
  farswap_group* group;
  farswap_region_options size = {sizeof(size), 32 << 20,
                                 FARSWAP_FAIL_POISON, 1};
  farswap_region* region;
  if (farswap_client_open(&options, &client) < 0 ||
      farswap_group_create(client, &limit, &group) < 0 ||
      farswap_region_create(group, &size, &region) < 0) {
    return puts(farswap_last_error()), 1;
  }
  unsigned* word = farswap_region_address(region);
  for (unsigned i = 0; i < 8 << 20; ++i) word[i] = i * 2654435761u;
  for (unsigned i = 0; i < 8 << 20; ++i) {
    if (word[i] != i * 2654435761u) return puts("wrong"), 1;
  }
  farswap_stats stats = {sizeof(stats)};
  farswap_client_stats(client, &stats);
  printf("%s\n", stats.swpin_bytes > 0 ? "far and right" : "not far");
  return farswap_region_destroy(region) | farswap_group_destroy(group) |
         farswap_client_close(client);
}
END
cat >"$work/program.cc" <<'END'
#include <farswap.hpp>
#include <cstdio>
int main(int argc, char** argv) {
  farswap::ClientOptions options;
  options.servers = argv[1];
  auto client = farswap::Client::Open(options);
  if (!client) return std::puts(client.error().message().c_str()), 1;
  auto group = client->CreateGroup(8 << 20);
  auto region = group->CreateRegion({4 << 20});
  region->data()[5] = 'x';
  std::puts(region->data()[5] == 'x' ? "far and right" : "wrong");
}
END

flags() { pkg-config --cflags --libs "$@" farswap; }

# shellcheck disable=SC2046  # Flags are words.
{
  gcc -std=c99 -pedantic-errors -Wall -Werror -fsyntax-only \
    "$work/readme.c" $(flags)
  gcc -std=c99 -pedantic-errors -Wall -Werror "$work/program.c" \
    $(flags) -Wl,-rpath,"$work/prefix/lib" -o "$work/shared"
  g++ -std=c++17 -Wall -Werror "$work/program.cc" \
    $(flags) -Wl,-rpath,"$work/prefix/lib" -o "$work/cxx"
  # -l:NAME, for the shared one is in the same folder.
  gcc "$work/program.c" $(flags --static |
    sed 's/-lfarswap/-l:libfarswap.a/') -o "$work/static"
}
ldd "$work/static" | grep -q farswap && fail "the static program is not"

"$work/prefix/bin/farswap-server" --listen="unix:$work/data" \
  --admin-listen="unix:$work/admin" --metrics-listen=127.0.0.1:0 \
  --data-dir="$work/metadata" --capacity=256MiB --allow-overcommit \
  >"$work/ready" 2>"$work/log" &
server=$!
deadline=$((SECONDS + 60))
until grep -q '^farswap-server ready' "$work/ready"; do
  ((SECONDS < deadline)) || fail "no server: $(cat "$work/log")"
  sleep 0.1
done

for program in shared static cxx; do
  said=$("$work/$program" "unix:$work/data") || true
  [[ $said == "far and right" ]] || fail "$program says: $said"
done

echo 'print(1 + 1)' >"$work/script.lua"
# It finds the server beside itself.
[[ $("$work/prefix/bin/farlua" "$work/script.lua") == 2 ]] || fail "farlua"
# With its pager, its preload library and a private server: all are found.
readonly LARGE='import os; print(len(os.urandom(1 << 26)))'
[[ $("$work/prefix/bin/farswap-run" --local-memory=16M -- \
  python3 -c "$LARGE") == 67108864 ]] || fail "farswap-run"
echo "installed, moved, linked three ways, run: all right"
