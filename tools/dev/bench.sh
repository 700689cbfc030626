# Measuring: ./dev bench [--quick] [--write]. The work is in bench/; this builds what it needs.

dev_bench() {
    local option
    for option in "$@"; do
        case $option in
        --quick | --write) ;;
        *) die "bench: no option '$option' (there are --quick and --write)" ;;
        esac
    done
    setup build bench
    configure release --buildtype=release "-Dwerror=false"
    say "building for release"
    ninja -C build/release lab/fake-provider lab/parley-load >/dev/null || die "the lab does not build"
    if ninja -C build/release -t query src/app/parley >/dev/null 2>&1; then
        ninja -C build/release src/app/parley >/dev/null || die "parley does not build"
    fi
    BENCH_BUILD=$PWD/build/release bash bench/run "$@"
}
