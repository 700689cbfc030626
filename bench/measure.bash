# Taking measures. Every value goes into a file of its own kind, one line a round:
# $work/results/MEASURE.SERVER; the report takes medians.

note() { # MEASURE SERVER VALUE
    printf '%s\n' "$3" >>"$work/results/$1.$2"
}

median() { # MEASURE SERVER: nothing when it was not measured
    [ -s "$work/results/$1.$2" ] || return 0
    sort -g "$work/results/$1.$2" | awk '{v[NR]=$1} END {print NR % 2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'
}

calculate() { awk "BEGIN {printf \"%.6g\", $1}"; }

# Nanoseconds on a processor of all threads of a process, user and system.
cpu_ns() { # PID
    cat /proc/"$1"/task/*/schedstat | awk '{sum += $1} END {printf "%.0f", sum}'
}

# KiB of one kind of memory of a process.
memory_kib() { # PID KIND
    awk -v kind="$2:" '$1 == kind {print $2}' "/proc/$1/smaps_rollup"
}

field() { # JSON NAME
    sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" <<<"$1"
}

server_pid() { # SERVER
    case $1 in
    nginx) printf %s "$nginx_worker" ;;
    *) printf %s "${parley_pid[$1]:-}" ;;
    esac
}

# prepare SERVER WAY MODEL STREAM: sets $url, $bearer and $body_path, the same work for every server.
# WAY: pass (OpenAI to OpenAI) or translate (to Anthropic; nginx and direct speak it themselves).
prepare() {
    local file=bench/openai.json path=/v1/chat/completions model=$3 port
    bearer=${parley_key[$1]:-sk-bench}
    if [ -n "${parley_pid[$1]:-}" ]; then
        case $2 in pass) model=openai/$3 ;; translate) model=anthropic/$3 ;; esac
    elif [ "$2" = translate ]; then
        file=bench/anthropic.json path=/v1/messages
    fi
    case $1-$4 in
    direct-*) port=$fake_port ;;
    nginx-true) port=$nginx_stream_port ;;
    nginx-false) port=$nginx_port ;;
    *) port=${parley_port[$1]} ;;
    esac
    url=http://127.0.0.1:$port$path
    body_path=$work/body-$1-$2-$3-$4.json
    sed "s|@MODEL@|$model|; s|@STREAM@|$4|" "$file" >"$body_path"
}

# load KIND ARGUMENT...: one run of the generator; sets $answer
load() {
    local kind=$1
    shift
    answer=$(on_load_core timeout 120 "$build/lab/parley-load" "$kind" --url "$url" --body "$body_path" \
        --bearer "$bearer" "$@") || fail "load failed at $url: $answer"
}

# Parley's ledger goes into the database once a second: that is done, and counted.
let_rows_be_written() { [ -z "${parley_pid[$1]:-}" ] || sleep 1.5; } # SERVER

# A load, noting the processor time of the server for each of $count_field.
load_measured() { # MEASURE SERVER COUNT-FIELD KIND ARGUMENT...
    local measure=$1 server=$2 count_field=$3 pid before=0 after=0
    shift 3
    pid=$(server_pid "$server")
    [ -z "$pid" ] || before=$(cpu_ns "$pid")
    load "$@"
    [ -n "$pid" ] || return 0
    let_rows_be_written "$server"
    after=$(cpu_ns "$pid")
    note "$measure-cpu" "$server" "$(calculate "($after - $before) / 1000 / $(field "$answer" "$count_field")")"
}

measure_requests() { # WAY SERVER
    prepare "$2" "$1" burst-20x60 false
    load requests --connections 64 --requests 200
    load_measured "requests-$1" "$2" requests requests --connections 64 --seconds "$request_seconds"
    note "requests-$1-rate" "$2" "$(field "$answer" per_second)"
    note "requests-$1-p50" "$2" "$(field "$answer" p50_us)"
    note "requests-$1-p99" "$2" "$(field "$answer" p99_us)"
    load requests --connections 1 --requests "$single_requests"
    note "single-$1-p50" "$2" "$(field "$answer" p50_us)"
    note "single-$1-p99" "$2" "$(field "$answer" p99_us)"
}

measure_paced() { # WAY SERVER
    prepare "$2" "$1" paced-100x60-10 true
    load_measured "paced-$1" "$2" content_events streams --connections 200 --requests "$paced_streams" --ramp-ms 1000
    note "paced-$1-p50" "$2" "$(field "$answer" first_p50_us)"
    note "paced-$1-p99" "$2" "$(field "$answer" first_p99_us)"
    check_events "$paced_streams"
}

measure_burst() { # WAY SERVER
    prepare "$2" "$1" burst-100x60 true
    load_measured "burst-$1" "$2" content_events streams --connections 200 --requests "$burst_streams"
    note "burst-$1-total" "$2" "$(field "$answer" total_p50_us)"
    check_events "$burst_streams"
}

# Asks once for $body_path and sets $head: the lines in front of the answer, in small letters.
ask_head() { # SERVER [HEADER]
    local line=
    head=
    exec 3<>"/dev/tcp/127.0.0.1/${parley_port[$1]}"
    printf 'POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%sContent-Length: %s\r\n\r\n' \
        "${parley_key[$1]}" "${2:+$2$'\r\n'}" "$(wc -c <"$body_path")" >&3
    cat "$body_path" >&3
    while IFS= read -r -t 5 line <&3 && [ "$line" != $'\r' ]; do
        head+=${line,,}$'\n'
    done
    exec 3>&-
}

# The request of $body_path is answered by the second target: else a breaker had opened, and nothing was measured.
check_attempts() { # ATTEMPTS
    ask_head parley
    [[ $head =~ x-parley-attempts:\ *$1[^0-9] ]] || fail "$body_path was not answered after $1 attempts: $head"
}

# What it costs a request that its first target refuses at once: its time, less that of one whose first target answers.
measure_fallback() { # ROUND
    local kind well
    prepare parley pass burst-20x60 false
    load requests --connections 1 --requests "$fallback_requests"
    well=$(field "$answer" p50_us)
    for kind in 503 refused; do
        prepare parley pass "fallback-$kind-$1" false
        sed -i "s|openai/fallback|fallback|" "$body_path"
        load requests --connections 1 --requests "$fallback_requests"
        check_attempts 2
        note "fallback-$kind" parley "$(calculate "$(field "$answer" p50_us) - $well")"
    done
}

# The router alone, without transport: see bench/router.c.
measure_router() {
    local figures name
    figures=$(on_server_core "$build/bench/router-bench") || fail "router-bench failed"
    for name in one_target_ns four_targets_ns needs_ns books_ns event_ns; do
        note "router-$name" parley "$(calculate "$(field "$figures" "$name") / 1000")"
    done
    note router-arena_bytes parley "$(field "$figures" arena_bytes_one)"
}

# What one attempt costs the loop in the ledger, and its row the store: see bench/ledger.c. What limits and budgets
# cost a request: bench/limiter.c, on both cores, for it asks on two threads at once.
measure_governor_parts() {
    local figures name
    figures=$(TMPDIR=$work on_server_core "$build/bench/ledger-bench") || fail "ledger-bench failed"
    for name in attempt_ns store_row_ns; do
        note "ledger-$name" parley "$(calculate "$(field "$figures" "$name") / 1000")"
    done
    figures=$("$build/bench/limiter-bench") || fail "limiter-bench failed"
    for name in limiter_unlimited_ns limiter_four_ns limiter_two_threads_ns; do
        note "$name" parley "$(calculate "$(field "$figures" "$name") / 1000")"
    done
}

# ---- What governing costs ---------------------------------------------------------------------

# Both are told the same bytes, and no two requests are the same: in place of these digits of the body comes a number.
varied='41.2 44.0 47.9 53.2'
# The cache is looked into in either case.
not_kept='Cache-Control: no-store' kept='Cache-Control: max-age=600'

# The one is governed, the other is not: else the figures would be about nothing.
check_governed() {
    prepare governed pass burst-20x60 false
    ask_head governed "$not_kept"
    ask_head governed "$not_kept" # misses, too: the first was not kept
    [[ $head == *x-ratelimit-limit-requests* && $head == *x-ratelimit-limit-tokens* ]] || fail "nothing is limited: $head"
    [[ $head == *"x-parley-cache: miss"* ]] || fail "the cache is not asked: $head"
    prepare ungoverned pass burst-20x60 false
    ask_head ungoverned
    [[ $head == *" 200 "* && $head != *x-ratelimit* && $head != *x-parley-cache* ]] || fail "something governs: $head"
}

# Every attempt of the governed has a row and was paid for, nothing came from the cache, and the other has no rows.
check_governed_books() {
    local usage
    usage=$(run_parley governed usage --json) || fail "parley usage failed"
    [[ $usage =~ \"attempts\":[1-9] && $usage =~ \"cached\":0, && $usage =~ \"refused\":0, && $usage =~ \"unpriced\":0[,}] ]] &&
        [[ $usage =~ \"cost_usd\":\"[0-9.]*[1-9] ]] || fail "not all was governed: $usage"
    usage=$(run_parley ungoverned usage --json) || fail "parley usage failed"
    [[ $usage =~ \"attempts\":0, ]] || fail "something governed: $usage"
    prepare keeping pass burst-20x60 false
    ask_head keeping "$kept"
    ask_head keeping "$kept"
    [[ $head == *"x-parley-cache: hit"* ]] || fail "no answer is kept: $head"
}

# Lets these loads work in turns of a tenth of a second, until each has said what it measured.
take_turns() { # SERVER...
    local server is_left=yes
    while [ -n "$is_left" ]; do
        is_left=
        for server in "$@"; do
            [ ! -s "$work/turns-$server.log" ] || continue
            kill -CONT "${turn_pid[$server]}" 2>/dev/null && is_left=yes
            sleep 0.1
            kill -STOP "${turn_pid[$server]}" 2>/dev/null || true
        done
    done
}

# The same work for all three, so many times, in short turns: what changes on the machine hits them alike.
measure_governing() { # MEASURE WAY MODEL STREAM COUNT KIND ARGUMENT...
    local measure=$1 way=$2 model=$3 stream=$4 count=$5 server
    local -A header=([ungoverned]=$not_kept [governed]=$not_kept [keeping]=$kept) before=() spent=()
    shift 5
    for server in ungoverned governed keeping; do
        prepare "$server" "$way" "$model" "$stream"
        load "$1" --connections 64 --requests 500 --vary "$varied" --header "${header[$server]}"
    done
    let_rows_be_written "$server"
    for server in ungoverned governed keeping; do
        before[$server]=$(cpu_ns "${parley_pid[$server]}")
        prepare "$server" "$way" "$model" "$stream"
        : >"$work/turns-$server.log"
        on_load_core "$build/lab/parley-load" "$@" --requests "$count" --url "$url" --body "$body_path" \
            --bearer "$bearer" --vary "$varied" --header "${header[$server]}" >"$work/turns-$server.log" 2>&1 &
        turn_pid[$server]=$!
        kill -STOP "${turn_pid[$server]}"
    done
    take_turns ungoverned governed keeping
    for server in ungoverned governed keeping; do
        kill -CONT "${turn_pid[$server]}" 2>/dev/null || true
        wait "${turn_pid[$server]}" || fail "load failed: $(cat "$work/turns-$server.log")"
        unset "turn_pid[$server]"
    done
    let_rows_be_written "$server"
    for server in ungoverned governed keeping; do
        spent[$server]=$(calculate "($(cpu_ns "${parley_pid[$server]}") - ${before[$server]}) / 1000 / $count")
        note "$measure-cpu" "$server" "${spent[$server]}"
        note "$measure-ratio" "$server" "$(calculate "${spent[ungoverned]} / ${spent[$server]}")"
    done
}

measure_governed() { # WAY
    measure_governing "governing-requests-$1" "$1" burst-20x60 false "$governing_requests" requests --connections 64
    measure_governing "governing-burst-$1" "$1" burst-100x60 true "$governing_streams" streams --connections 200
    answer=$(cat "$work/turns-governed.log")
    check_events "$governing_streams"
}

# So many streams open together, an event every 50 ms in each, until each has had all of its 100.
measure_at_once() { # WAY SERVER
    prepare "$2" "$1" paced-100x60-50 true
    load_measured "at-once-$1" "$2" content_events streams --connections "$held_streams" --requests "$held_streams" \
        --ramp-ms 2000 --vary "$varied"
    check_events "$held_streams"
    note "at-once-$1" "$2" "$(field "$answer" at_once)"
}

# A server that loses or joins events would look fast.
check_events() { # STREAMS
    [ "$(field "$answer" content_events)" -eq $((100 * $1)) ] ||
        fail "$url delivered $(field "$answer" content_events) events in place of $((100 * $1))"
}

# ---- Memory -----------------------------------------------------------------------------------

# hold LOG KIND ARGUMENT...: load in the background until it says that all is open. False, with a word, when it
# does not: that measure is left out, the others stay.
hold() {
    local log=$1 tries
    shift
    : >"$log" # the last one's words must not be taken for this one's
    on_load_core timeout 180 "$build/lab/parley-load" "$@" >"$log" 2>&1 &
    load_pid=$!
    for tries in {1..600}; do
        [ ! -s "$log" ] || break
        sleep 0.1
    done
    sleep 1 # what was needed for opening is given back
    kill -0 "$load_pid" 2>/dev/null && grep -q '"ready"\|"failed":0' "$log" && return 0
    say "left out: not all that should be held was opened: $(cat "$log")"
    release
    return 1
}

release() {
    stop "$load_pid"
    load_pid=
}

note_growth() { # MEASURE SERVER BEFORE-KIB COUNT SUBTRACT-KIB
    local after
    after=$(memory_kib "$(server_pid "$2")" Private_Dirty)
    note "$1" "$2" "$(calculate "($after - $3) / $4 - $5")"
}

measure_stream_memory() { # WAY SERVER
    local before
    prepare "$2" "$1" stall-1 true
    before=$(memory_kib "$(server_pid "$2")" Private_Dirty)
    hold "$work/hold.log" streams --url "$url" --body "$body_path" --bearer "$bearer" \
        --connections "$held_streams" --hold --marker '1 ' --patience 170 --vary "$varied" || return 0
    note_growth "stream-memory-$1" "$2" "$before" "$held_streams" 4
    release
}

measure_socket_memory() { # MEASURE SCHEME COUNT [ARGUMENT...]
    local measure=$1 scheme=$2 count=$3 before
    shift 3
    before=$(memory_kib "${parley_pid[parley]}" Private_Dirty)
    hold "$work/hold.log" sockets --url "$scheme://127.0.0.1:${parley_port[parley]}/api/v1/ws" \
        --bearer "${parley_key[parley]}" --connections "$count" "$@" || return 0
    note_growth "$measure" parley "$before" "$count" 0
    release
}

measure_idle() { # SERVER
    local pid kind
    pid=$(server_pid "$1")
    sleep 1
    for kind in Private_Dirty Pss Rss; do
        note "idle-$kind" "$1" "$(calculate "$(memory_kib "$pid" "$kind") / 1024")"
    done
}
