# Sourced by tests/run and by each check, so that a check runs alone as well:
# goes to the top of the tree, and says where caches and tools are.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

FARSWAP_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/farswap
export FARSWAP_CACHE
mkdir -p "$FARSWAP_CACHE"

# A folder for each set of tools: worktrees of different ages share the cache.
FARSWAP_TOOLS=$FARSWAP_CACHE/tools-$(sha256sum tests/tools/package-lock.json |
  cut -c1-12)
PATH=$FARSWAP_TOOLS/node_modules/.bin:$PATH
PATH=$FARSWAP_TOOLS/node_modules/@bufbuild/buf-linux-x64/bin:$PATH

# What makes a Bazel command ours. A .bazelrc.user has its own say.
BAZEL_FLAGS=(--color=no --curses=no --show_progress_rate_limit=20)
if [[ ! -e .bazelrc.user ]]; then
  BAZEL_FLAGS+=("--disk_cache=$FARSWAP_CACHE-bazel")
fi

# The project's files: tracked, or new and not ignored. Arguments are paths or
# patterns of git; quote them.
project_files() {
  local file
  git -c safe.directory='*' ls-files -co --exclude-standard -- "$@" |
    sort -u | while read -r file; do
    [[ -e $file ]] && echo "$file"
  done
}

# Scripts are known by their first line, so that they need no suffix.
# shellcheck disable=SC2120  # Without arguments: of the whole tree.
project_scripts() {
  local file first
  project_files "$@" | while read -r file; do
    first=$(head -c 64 "$file" | tr -d '\0' | head -n 1)
    [[ $first =~ ^#!.*(ba|da|/)sh || $file == *.sh ]] && echo "$file"
  done
}

# A check's one way to fail: what to do about the lines it has printed.
remedy() {
  echo "Remedy: $*"
  exit 1
}
