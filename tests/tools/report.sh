# Sourced by tests/run: runs steps, counts them, keeps their logs.
# shellcheck shell=bash

LOGS=$(mktemp -d "${TMPDIR:-/tmp}/farswap-tests.XXXXXX")
PASSED=0
FAILED=0
FAILURES=()

say() { printf '%(%H:%M:%S)T  %s\n' -1 "$*"; }

# count PASSED FAILED: adds to the totals.
count() {
  PASSED=$((PASSED + $1))
  FAILED=$((FAILED + $2))
}

# step NAME COMMAND...: one thing that passes or fails; silent if it passes.
step() {
  local name=$1 start=$SECONDS log=$LOGS/${1//\//_}.log
  shift
  if "$@" >"$log" 2>&1; then
    say "ok      $name ($((SECONDS - start)) s)"
    grep '^Note: ' "$log"
    count 1 0
  else
    say "FAILED  $name ($((SECONDS - start)) s)"
    sed 's/^/    /' "$log"
    FAILURES+=("$name")
    count 0 1
  fi
}

# The labels of all tests that //... stands for, without those that have a
# tag of `$1` (a regular expression).
test_labels() {
  local tagged="attr(tags, '[\\[ ]($1)[,\\]]', tests(//...))"
  bazel query --noshow_progress "tests(//...) except $tagged" 2>/dev/null
}

# bazel_tests NAME LEFT_OUT FLAG...: all tests but those that have a tag of
# LEFT_OUT. Each counts: what Bazel did not run, as it did not build, failed.
bazel_tests() {
  local name=$1 left_out=$2 log=$LOGS/$1.log start=$SECONDS label
  shift 2
  local labels passed=()
  mapfile -t labels < <(test_labels "manual|$left_out")
  say "bazel test, $name: ${#labels[@]} targets"
  bazel test --keep_going "${BAZEL_FLAGS[@]}" "$@" \
    -- "${labels[@]}" 2>&1 | tee "$log"
  mapfile -t passed < <(awk '
    /^\/\/[^ ]+ +(\(cached\) +)?PASSED/ { print $1 }' "$log" | sort -u)
  count "${#passed[@]}" 0
  while read -r label; do
    FAILURES+=("$name $label")
    count 0 1
  done < <(comm -23 <(printf '%s\n' "${labels[@]}" | sort -u) \
    <(printf '%s\n' "${passed[@]}"))
  if ((${#labels[@]} == 0)); then
    FAILURES+=("$name: no tests found; does 'bazel query //...' work?")
    count 0 1
  fi
  print_skipped "$name"
  say "bazel test, $name: ${#passed[@]} of ${#labels[@]} passed" \
    "($((SECONDS - start)) s)"
}

# A skipped case is green to Bazel; it is said aloud here.
print_skipped() {
  local logs
  logs=$(readlink -f bazel-testlogs) || return 0
  find "$logs" -name test.log -newer "$LOGS" -exec \
    grep -H -A3 '^\[  SKIPPED \].*\(ms\)' {} + 2>/dev/null |
    sed "s|^$logs/|Skipped ($1): |"
}

# The last lines of all: what failed, and the totals.
finish() {
  if ((FAILED > 0)); then
    printf 'Failed: %s\n' "${FAILURES[@]}"
    echo "Logs: $LOGS"
  else
    rm -rf "$LOGS"
  fi
  echo "$PASSED passed, $FAILED failed"
  ((FAILED == 0))
}
