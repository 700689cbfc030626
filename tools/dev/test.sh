# Testing. The tests' build is the sanitized one: what passes here passed under ASan and UBSan.

SANITIZED_FLOORS="net store account route chat"

sanitizer_options() {
    export ASAN_OPTIONS="halt_on_error=1:abort_on_error=1:detect_stack_use_after_return=1${1:+:$1}"
    export UBSAN_OPTIONS="halt_on_error=1:abort_on_error=1:print_stacktrace=1${1:+:$1}"
    export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1${1:+:$1}"
}

# ---- What the suites' outputs say

# count_meson NAME: from the log of `meson test` in build/NAME, every cmocka test counted. A program
# that ends early or with an error counts as one failure, unless its tests already said so.
count_meson() {
    cat >/dev/null
    [ -e "build/$1/meson-logs/testlog.txt" ] || { echo 0 0 0; return; }
    awk '
    function close_program() {
        if (!open) return
        if (wrong == 0 && (result !~ /exit status 0/ || seen < planned)) {
            if (result ~ /exit status 77/) skipped++; else failed++
        } else if (seen == 0) passed++
    }
    /^=+ [0-9]+\/[0-9]+ =+$/ { close_program(); open = 1; wrong = seen = planned = part = 0; result = ""; next }
    /^result: / && !part { result = $0 }
    /^-+ stdout -+$/ { part = 1; next }
    /^-+ stderr -+$/ { part = 2; next }
    part == 1 && /^1\.\.[0-9]+/ { planned = substr($1, 4) + 0 }
    part == 1 && /^(not )?ok [0-9]+/ {
        seen++
        if (tolower($0) ~ /# skip/) skipped++
        else if ($1 == "ok") passed++
        else { failed++; wrong++ }
    }
    END { close_program(); print passed + 0, failed + 0, skipped + 0 }' "build/$1/meson-logs/testlog.txt"
}

# count_node: from the summary of `node --test`, in either of its forms
count_node() {
    awk '$1 == "#" || $1 == "ℹ" { n[$2] = n[$2] + $3 }
        END { print n["pass"] + 0, n["fail"] + n["cancelled"] + 0, n["skipped"] + n["todo"] + 0 }'
}

# ---- Unit tests

# meson_test NAME ARGUMENTS...: as it is built
meson_test() {
    local name=$1
    shift
    rm -f "build/$name/meson-logs/testlog.txt"
    meson test -C "build/$name" --no-rebuild --print-errorlogs "$@"
}

build_debug() {
    setup build test
    web_build
    configure_debug
    compile debug
}

unit_debug() {
    sanitizer_options
    meson_test debug --suite unit --timeout-multiplier 4 "$@"
}

# run_units [TEST...]
run_units() {
    must "build for tests (ASan, UBSan)" build_debug
    [ "$STATUS" -eq 0 ] || return 0
    suite "unit tests (ASan, UBSan)" "count_meson debug" unit_debug "$@"
}

dev_unit() {
    tally_start
    run_units "$@"
    tally_report
}

prepare_web() {
    setup web
    npm_install web
}

run_web() {
    must "prepare the web app's tests" prepare_web
    [ "$STATUS" -eq 0 ] || return 0
    suite "web unit tests" count_node npm --prefix web --silent test
}

# ---- Whole-system tests: the real program, from outside

# The newest Node comes from npm, because the tests are TypeScript and use what Debian's lacks.
system_node() {
    local node
    for node in tests/system/node_modules/node-linux-*/bin/node; do
        if "$node" --version >/dev/null 2>&1; then
            echo "$PWD/$node"
            return
        fi
    done
    die "no Node for this kind of machine under tests/system/node_modules"
}

prepare_system() {
    setup web system
    npm_install tests/system
    system_node >/dev/null
}

# system_tests BUILD [FILE...]
system_tests() {
    local build=$1 node
    shift
    [ $# -gt 0 ] || set -- tests/system/*.test.ts
    node=$(system_node)
    rm -rf "build/$build/sanitizer"
    mkdir -p "build/$build/sanitizer"
    sanitizer_options "log_path=$PWD/build/$build/sanitizer/report"
    PARLEY_BUILD="$PWD/build/$build" PARLEY_PROGRAM="$PWD/build/$build/src/app/parley" \
        timeout 1200 "$node" --test --test-timeout=300000 --test-reporter=spec "$@"
}

# What a sanitizer found in a server, whatever the test made of the server's end.
no_sanitizer_report() {
    local report found=0
    for report in "build/$1/sanitizer/report"*; do
        [ -s "$report" ] || continue
        found=1
        cat "$report"
    done
    return $found
}

# run_system [FILE...]
run_system() {
    must "build for tests (ASan, UBSan)" build_debug
    [ "$STATUS" -eq 0 ] || return 0
    must "prepare the whole-system tests" prepare_system
    [ "$STATUS" -eq 0 ] || return 0
    suite "whole-system tests (ASan, UBSan)" count_node system_tests debug "$@"
    must "no sanitizer report from a server" no_sanitizer_report debug
}

dev_system() {
    tally_start
    run_system "$@"
    tally_report
}

dev_asan() {
    tally_start
    run_units
    run_system
    tally_report
}

# ---- Threads

# ThreadSanitizer of older compilers does not start where addresses are spread too widely.
without_randomness() {
    if setarch "$(uname -m)" -R true 2>/dev/null; then
        setarch "$(uname -m)" -R "$@"
    else
        "$@"
    fi
}

build_tsan() {
    local floors
    setup build test clang
    floors=$(tr ' ' '|' <<<"$SANITIZED_FLOORS")
    CC=clang configure tsan --buildtype=debug -Doptimization=1 -Db_sanitize=thread -Db_lundef=false \
        -Dweb=false "$(werror)"
    ninja -C build/tsan --quiet build.ninja # a new test is no target of the old one
    ninja -C build/tsan -t targets all | awk -F: -v floors="^tests/($floors)/test_[a-z0-9_]*$" '$1 ~ floors { print $1 }' |
        xargs ninja -C build/tsan --quiet
}

test_tsan() {
    local floor suites=()
    for floor in $SANITIZED_FLOORS; do
        suites+=(--suite "$floor")
    done
    sanitizer_options
    without_randomness meson test -C build/tsan --no-rebuild --print-errorlogs --timeout-multiplier 5 "${suites[@]}"
}

run_tsan() {
    must "build for tests (TSan)" build_tsan
    [ "$STATUS" -eq 0 ] || return 0
    rm -f build/tsan/meson-logs/testlog.txt
    suite "unit tests of $SANITIZED_FLOORS (TSan)" "count_meson tsan" test_tsan
}

dev_tsan() {
    tally_start
    run_tsan
    tally_report
}

# ---- Fuzzing

build_fuzz() {
    setup build clang
    CC=clang configure fuzz --buildtype=debug -Doptimization=1 -Db_sanitize=address,undefined \
        -Db_lundef=false -Dfuzz=true -Dweb=false "$(werror)"
    ninja -C build/fuzz -t targets all | awk -F: '$1 ~ /^tests\/fuzz\/fuzz_[a-z0-9_]*$/ { print $1 }' |
        xargs ninja -C build/fuzz --quiet
}

# fuzz_target NAME SECONDS: new inputs are kept in build/fuzz/corpus, findings in build/fuzz/found
fuzz_target() {
    local name=$1 seconds=$2 corpora=("build/fuzz/corpus/$1")
    mkdir -p "build/fuzz/corpus/$name" build/fuzz/found
    [ ! -d "tests/fuzz/corpus/$name" ] || corpora+=("tests/fuzz/corpus/$name")
    sanitizer_options
    if ! "build/fuzz/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -print_funcs=0 -verbosity=0 -artifact_prefix="build/fuzz/found/$name-" \
        "${corpora[@]}" >"build/fuzz/$name.log" 2>&1; then
        tail -n 60 "build/fuzz/$name.log"
        return 1
    fi
    sed -n 's/^stat::number_of_executed_units: */    inputs: /p' "build/fuzz/$name.log"
}

# dev_fuzz [TARGET|all] [SECONDS]: each target for that long, 20 unless told
dev_fuzz() {
    local wanted=${1:-all} seconds=${2:-20} program name
    tally_start
    must "build the fuzz targets" build_fuzz
    [ "$wanted" = all ] || [ -x "build/fuzz/tests/fuzz/fuzz_$wanted" ] || die "no fuzz target '$wanted'"
    for program in build/fuzz/tests/fuzz/fuzz_*; do
        name=${program#build/fuzz/tests/fuzz/fuzz_}
        [ -f "$program" ] && [ -x "$program" ] || continue
        [ "$wanted" = all ] || [ "$wanted" = "$name" ] || continue
        step "fuzz $name for $seconds s" fuzz_target "$name" "$seconds"
    done
    tally_report
}

# ---- All of it

run_tests() {
    run_units
    run_web
    run_system
    run_tsan
}

dev_test() {
    tally_start
    run_tests
    tally_report
}

# What .ci/run calls.
dev_ci() {
    tally_start
    run_tests
    run_simulation
    run_checks all
    run_compilers
    tally_report
}
