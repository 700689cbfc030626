# Counting: every suite and check reports here, so that the last line tells all of it.

# tally_start: forgets what was counted
tally_start() {
    TALLY_PASSED=0 TALLY_FAILED=0 TALLY_SKIPPED=0
    TALLY_BROKEN=()
}

# tally PASSED FAILED [SKIPPED]
tally() {
    TALLY_PASSED=$((TALLY_PASSED + $1))
    TALLY_FAILED=$((TALLY_FAILED + $2))
    TALLY_SKIPPED=$((TALLY_SKIPPED + ${3:-0}))
}

# run_apart COMMAND...: runs it with errors ending it, and sets STATUS; must not stand in a condition
run_apart() {
    set +e
    (
        set -e
        "$@"
    )
    STATUS=$?
    set -e
}

# step NAME COMMAND...: one thing that holds or does not, counted as one; says which
step() {
    local name=$1 started=$SECONDS
    shift
    say "$name"
    run_apart "$@" </dev/null
    if [ "$STATUS" -eq 0 ]; then
        tally 1 0
        printf '    ok, %d s\n' $((SECONDS - started))
    else
        tally 0 1
        TALLY_BROKEN+=("$name")
        printf '    FAILED: %s, %d s\n' "$name" $((SECONDS - started))
    fi
}

# must NAME COMMAND...: what the next suites stand on; counted only when it fails. Sets STATUS.
must() {
    local name=$1
    shift
    run_apart "$@" </dev/null
    if [ "$STATUS" -ne 0 ]; then
        tally 0 1
        TALLY_BROKEN+=("$name")
        printf '    FAILED: %s\n' "$name"
    fi
}

# suite NAME COUNTER COMMAND...: runs the command, which prints its results; COUNTER reads that
# output and prints "PASSED FAILED SKIPPED". A command that fails with nothing failed counts as one
# (but Meson takes cmocka's way of saying "skipped" for a failure).
suite() {
    local name=$1 counter=$2 output started=$SECONDS passed failed skipped
    shift 2
    say "$name"
    mkdir -p build
    output=$(mktemp build/suite.XXXXXX)
    run_apart "$@" </dev/null > >(tee "$output") 2>&1
    wait_for_end $!
    # shellcheck disable=SC2086 # the counter may have an argument
    read -r passed failed skipped < <($counter <"$output")
    rm -f "$output"
    if [ "$STATUS" -ne 0 ] && [ $((failed + skipped)) -eq 0 ]; then
        echo "    '$name' ended with status $STATUS"
        failed=1
    elif [ $((passed + failed + skipped)) -eq 0 ]; then
        echo "    '$name' ran nothing"
        failed=1
    fi
    [ "$failed" -eq 0 ] || TALLY_BROKEN+=("$name")
    tally "$passed" "$failed" "$skipped"
    printf '    %s: %d passed, %d failed, %d skipped, %d s\n' "$name" "$passed" "$failed" "$skipped" $((SECONDS - started))
}

# wait_for_end PID: for a moment only, because a server left over may hold the output open
wait_for_end() {
    local turn
    for turn in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    echo "    (something that the suite started is still running)"
}

# tally_report: the closing line; fails when anything failed or nothing ran
tally_report() {
    local line name
    for name in "${TALLY_BROKEN[@]}"; do
        echo "FAILED: $name"
    done
    line="$TALLY_PASSED passed, $TALLY_FAILED failed"
    [ "$TALLY_SKIPPED" -eq 0 ] || line="$line, $TALLY_SKIPPED skipped"
    echo "$line"
    [ "$TALLY_FAILED" -eq 0 ] && [ "$TALLY_PASSED" -gt 0 ]
}
