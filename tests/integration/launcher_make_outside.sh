#!/bin/bash
# A project of Debian's is built in far memory: see launcher_make_test.py. Its
# source is brought by apt, once; and what is measured against a compiler is
# optimised, so this calls Bazel: not a Bazel test.
set -euo pipefail
# shellcheck source=tests/tools/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/env.sh"

readonly PACKAGE=re2
readonly KEPT=$FARSWAP_CACHE/source-$PACKAGE
readonly TARGETS=(
  //client/launcher/run:farswap-run
  //client/launcher/pager:farswap-pager
  //client/launcher/preload:libfarswap-preload.so
  //server:farswap-server
)

work=$(mktemp -d /tmp/farswap-make-XXXXXX)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

# Debian's archive as this machine names it, for sources, in folders of our
# own: apt's are left as they are.
fetch() {
  local apt=(apt-get -q -o "Dir::Etc::SourceList=$work/apt/sources.list"
    -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/apt/lists")
  mkdir -p "$work/apt/lists/partial" "$work/fetched"
  # shellcheck disable=SC2016  # apt's own variables.
  apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Release: bookworm' 'Component: main' |
    sort -u >"$work/apt/sources.list"
  "${apt[@]}" update
  (cd "$work/fetched" && "${apt[@]}" source --download-only "$PACKAGE")
  rm -rf "$KEPT"
  mv "$work/fetched" "$KEPT"
}

[[ -d $KEPT ]] || fetch
dpkg-source --no-check -x "$KEPT"/*.dsc "$work/source"
bazel build --config=opt "${BAZEL_FLAGS[@]}" "${TARGETS[@]}"
bin=$(bazel info --config=opt bazel-bin 2>/dev/null)
programs=()
for target in "${TARGETS[@]}"; do
  target=${target#//}
  programs+=("$bin/${target/://}")
done
tests/integration/launcher_make_test.py "${programs[@]}" "$work/source"
