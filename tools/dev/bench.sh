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
    local folder=release web=()
    if [ ! -d web/dist ]; then
        say "no web/dist: measuring without the embedded web app"
        folder=bench web=(-Dweb=false)
    fi
    configure "$folder" --buildtype=release "$(werror)" "${web[@]}"
    say "building for release"
    ninja -C "build/$folder" lab/fake-provider lab/parley-load src/app/parley >"build/$folder/bench.log" ||
        { tail -n 40 "build/$folder/bench.log" >&2; die "it does not build"; }
    BENCH_BUILD=$PWD/build/$folder bash bench/run "$@"
}
