# Starting and stopping what is measured: the fake provider, nginx, and Parley as it is configured by default
# ("parley"), with everything that governs ("governed", and "keeping", which keeps its answers) and with nothing of it
# ("ungoverned"). Everything listens on 127.0.0.1, lives in $work, and is ended by stop_all.

# Of each Parley that runs, by its name.
declare -A parley_pid=() parley_port=() parley_key=()
# Of the loads that take turns, by whom they ask.
declare -A turn_pid=()

# What Parley reads from its environment; one place, so that a renamed variable is one change.
parley_environment() { # NAME PORT [CERTIFICATE KEY]
    printf '%s\n' "PATH=$PATH" "HOME=$work" "HOST=127.0.0.1" "PORT=$2" "DATA_DIR=$work/data-$1" \
        "PARLEY_LOOPS=1" "PARLEY_LOG_LEVEL=warning" \
        "OPENAI_API_KEY=sk-bench" "OPENAI_BASE_URL=http://127.0.0.1:$fake_port/v1" \
        "ANTHROPIC_API_KEY=sk-bench" "ANTHROPIC_BASE_URL=http://127.0.0.1:$fake_port" \
        "PARLEY_ADMIN_EMAIL=bench@example.org" "PARLEY_ADMIN_PASSWORD=correct horse battery staple"
    [ $# -lt 4 ] || printf '%s\n' "PARLEY_TLS_CERT=$3" "PARLEY_TLS_KEY=$4"
}

stop() { # PID
    kill "$1" 2>/dev/null || return 0
    local tries
    for tries in {1..100}; do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

stop_all() {
    local pid
    for pid in ${load_pid:-} "${turn_pid[@]}" "${parley_pid[@]}" ${nginx_pid:-} ${fake_pid:-}; do
        stop "$pid"
    done
    rm -rf "$work"
}

is_listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Sets $free_port: below the ports that the kernel gives to clients.
find_port() {
    local tries
    for tries in {1..200}; do
        free_port=$((20000 + RANDOM % 10000))
        is_listening "$free_port" || return 0
    done
    fail "no free port"
}

wait_listening() { # PORT PID WHAT LOG
    local tries
    for tries in {1..200}; do
        is_listening "$1" && return 0
        kill -0 "$2" 2>/dev/null || break
        sleep 0.05
    done
    tail -n 20 "$4" >&2
    fail "$3 does not come up"
}

start_fake() {
    : >"$work/fake.log"
    on_load_core "$build/lab/fake-provider" --quiet >"$work/fake.log" 2>&1 &
    fake_pid=$!
    local tries
    for tries in {1..100}; do
        fake_port=$(sed -n 's/^listening on 127.0.0.1:\([0-9]*\)$/\1/p' "$work/fake.log")
        [ -z "$fake_port" ] || return 0
        sleep 0.05
    done
    fail "the fake provider does not come up"
}

start_nginx() {
    find_port
    nginx_port=$free_port
    find_port
    nginx_stream_port=$free_port
    mkdir -p "$work/nginx"
    sed -e "s|@PREFIX@|$work/nginx|; s|@FAKE@|$fake_port|; s|@PORT@|$nginx_port|
        s|@STREAM_PORT@|$nginx_stream_port|" bench/nginx.conf >"$work/nginx.conf"
    [ "$(id -u)" -ne 0 ] || sed -i '1i user root root;' "$work/nginx.conf"
    on_server_core nginx -p "$work/nginx" -c "$work/nginx.conf" >"$work/nginx.log" 2>&1 &
    nginx_pid=$!
    wait_listening "$nginx_stream_port" "$nginx_pid" nginx "$work/nginx.log"
    nginx_worker=$(cat "/proc/$nginx_pid/task/$nginx_pid/children")
    nginx_worker=${nginx_worker%% *}
}

# Routes whose first target refuses at once, one a round: each has a breaker of its own, which stays
# closed for as many failures as a round makes.
write_configuration() {
    local round kind
    find_port # nobody listens there
    printf 'providers:\n  refusing: {kind: openai-compatible, base_url: "http://127.0.0.1:%s/v1"}\n' "$free_port"
    printf 'router: {attempts: 1, backoff_ms: 0, breaker_failures: 1000, breaker_ratio_percent: 0}\nroutes:\n'
    for ((round = 1; round <= rounds; round++)); do
        for kind in openai/503 refusing/refused; do
            printf '  fallback-%s-%s: {targets: ["%s+tag-%s", openai/burst-20x60]}\n' "${kind#*/}" "$round" "$kind" "$round"
        done
    done
}

# Prices for what is asked for, so that costs are counted, and answers are kept.
write_governed_configuration() {
    local model
    printf 'router: {cache_seconds: 600}\nprices:\n'
    for model in $governed_models; do
        printf '  %s: "in=2 out=10 cached=0.2 write=2.5"\n' "$model"
    done
}

# Every limit there is by the minute, the day and the month, for every key, person, model and address; none is
# ever reached.
set_limits() { # NAME
    local kind
    for kind in key user model address; do
        run_parley "$1" limit set "$kind" '*' requests-per-minute=1000000000 tokens-per-minute=1000000000 \
            requests-per-day=1000000000000 requests-per-month=1000000000000 tokens-per-day=1000000000000 \
            tokens-per-month=1000000000000 streams=1000000 budget-per-day=1000000 budget-per-month=1000000 \
            soft-budget-per-day=1000000 soft-budget-per-month=1000000 >"$work/limit.log" 2>&1 ||
            { cat "$work/limit.log" >&2; fail "parley limit set refused"; }
    done
}

# The first line that Parley answers to GET /readyz, without starting a process.
ready_line() { # PORT
    local line=
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
    IFS= read -r -t 2 line <&3 || true
    exec 3>&-
    [[ $line == *" 200 "* ]]
}

# Starts one and sets its $parley_pid and $parley_port, and $parley_ready_us (from exec to ready).
start_parley() { # NAME [CERTIFICATE KEY]
    local name=$1 variables began port pid
    shift
    find_port
    port=$free_port
    mapfile -t variables < <(parley_environment "$name" "$port" "$@")
    began=${EPOCHREALTIME//./}
    on_server_core env -i "${variables[@]}" "$parley" serve --config "$work/$name.yaml" >"$work/$name.log" 2>&1 &
    pid=$!
    parley_pid[$name]=$pid parley_port[$name]=$port
    if [ $# -gt 0 ]; then # TLS: bash cannot ask
        wait_listening "$port" "$pid" parley "$work/$name.log"
        return
    fi
    until ready_line "$port"; do
        kill -0 "$pid" 2>/dev/null && [ $((${EPOCHREALTIME//./} - began)) -lt 20000000 ] && continue
        tail -n 20 "$work/$name.log" >&2
        fail "parley does not start"
    done
    parley_ready_us=$((${EPOCHREALTIME//./} - began))
}

stop_parley() { # NAME
    [ -z "${parley_pid[$1]:-}" ] || stop "${parley_pid[$1]}"
    unset "parley_pid[$1]"
}

# A command of the running server's.
run_parley() { # NAME ARGUMENT...
    local name=$1 variables
    shift
    mapfile -t variables < <(parley_environment "$name" "${parley_port[$name]}")
    env -i "${variables[@]}" "$parley" "$@"
}

# Sets its $parley_key, made by the running server, which may still be making the first account.
create_key() { # NAME
    local tries
    for tries in {1..50}; do
        parley_key[$1]=$(run_parley "$1" key create bench 2>&1 | tee "$work/key.log" |
            grep -o 'sk-parley-[A-Za-z0-9_-]*' | head -n 1) || true
        [ -z "${parley_key[$1]}" ] || return 0
        sleep 0.1
    done
    cat "$work/key.log" >&2
    fail "parley key create gave no key"
}

make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null ||
        fail "openssl cannot make a certificate"
}
