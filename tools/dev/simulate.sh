# Simulating: bad days of the router (tests/route/simulation/) and callers of the limiter
# (tests/route/limiter/), on clocks of their own.

build_simulation() {
    setup build test
    web_build
    configure_release
    compile release tests/route/simulation/simulate \
        tests/route/limiter/simulate-limiter
}

# simulate_days DAYS SEED
simulate_days() {
    build/release/tests/route/simulation/simulate --days "$1" --seed "$2"
}

# limiter_runs SEED: some seconds.
limiter_runs() {
    build/release/tests/route/limiter/simulate-limiter 500 "$1"
}

# run_simulation [DAYS] [SEED]
run_simulation() {
    must "build the simulation" build_simulation
    [ "$STATUS" -eq 0 ] || return 0
    step "simulate ${1:-10000} bad days of the router" simulate_days "${1:-10000}" "${2:-1}"
    step "simulate 500 runs of the limiter" limiter_runs "${2:-1}"
}

# dev_simulate [DAYS] [SEED]
dev_simulate() {
    local number
    for number in "$@"; do
        [[ $number =~ ^[0-9]+$ ]] || die "simulate: '$number' is no number: ./dev simulate [days] [seed]"
    done
    tally_start
    run_simulation "$@"
    tally_report
}
