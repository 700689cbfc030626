# Simulating: bad days of the router, on a clock of their own. tests/route/simulation/ has it.

build_simulation() {
    setup build test
    web_build
    configure_release
    compile release tests/route/simulation/simulate
}

# simulate_days DAYS SEED
simulate_days() {
    build/release/tests/route/simulation/simulate --days "$1" --seed "$2"
}

# run_simulation [DAYS] [SEED]
run_simulation() {
    must "build the simulation" build_simulation
    [ "$STATUS" -eq 0 ] || return 0
    step "simulate ${1:-10000} bad days of the router" simulate_days "${1:-10000}" "${2:-1}"
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
