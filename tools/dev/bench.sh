# Measuring: ./dev bench [--quick] [--write]. The work is in bench/; this builds what it needs.

dev_bench() {
    local option
    for option in "$@"; do
        case $option in
        --quick | --write) ;;
        *) die "bench: no option '$option' (there are --quick and --write)" ;;
        esac
    done
    setup bench
    dev_build release >&2
    compile release lab/fake-provider lab/parley-load bench/router-bench bench/ledger-bench bench/limiter-bench >&2
    BENCH_BUILD=$PWD/build/release bash bench/run "$@"
}
