# Building: one build folder for each way of building, shared by every command that needs it.
#
#   build/release  gcc, -O2, link-time optimisation and debug information: what is run, packaged, measured
#   build/debug    gcc, AddressSanitizer and UBSan: what is tested
#   build/tsan     clang, ThreadSanitizer
#   build/fuzz     clang, libFuzzer, AddressSanitizer and UBSan
#   build/with-CC  another compiler, for its warnings only (./dev compilers)

# configure NAME [MESON-OPTIONS...]: sets up build/NAME once; a change of options is taken over
configure() {
    local name=$1 wanted
    shift
    wanted="$* $(compiler_id)"
    [ "$name" = release ] || wanted="$wanted $(libraries_id)"
    mkdir -p build
    if [ -e "build/$name/build.ninja" ] && [ "$(cat "build/$name/.options" 2>/dev/null)" = "$wanted" ]; then
        return 0
    fi
    rm -rf "build/$name"
    say "configuring build/$name"
    meson setup "build/$name" "$@" >"build/$name.log" 2>&1 || {
        cat "build/$name.log" >&2
        rm -rf "build/$name"
        die "meson setup failed"
    }
    printf '%s\n' "$wanted" >"build/$name/.options"
}

compiler_id() { "${CC:-cc}" --version | head -n 1; }
# What tests/meson.build looks for when it is configured, and would otherwise not see arriving.
libraries_id() { pkg-config --exists cmocka && echo cmocka || echo no-cmocka; }
werror() { [ -n "${CI:-}" ] && echo -Dwerror=true || echo -Dwerror=false; }

# compile NAME [TARGETS...]: ninja in build/NAME; one line of progress where someone watches
compile() {
    local name=$1
    shift
    if [ -t 1 ]; then
        ninja -C "build/$name" "$@"
    else
        ninja -C "build/$name" --quiet "$@"
    fi
}

# web_sources_id: a hash over everything the web app is built from
web_sources_id() {
    find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' -not -path 'web/build/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum
}

# web_build: web/dist, again only when a source of it changed
web_build() {
    local now stamp=web/dist/.sources
    now=$(web_sources_id)
    [ -e web/dist/manifest.txt ] && [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && return 0
    setup web
    npm_install web
    say "building the web app"
    (cd web && npm run --silent build) || die "the web app does not build"
    printf '%s\n' "$now" >"$stamp"
}

# Link-time optimisation: 4 to 6 % fewer instructions a request, for half a minute of linking (gcc links in parallel
# by way of make, and complains without).
configure_release() { configure release --buildtype=debugoptimized -Db_lto=true "$(werror)"; }
configure_debug() { configure debug --buildtype=debug -Doptimization=1 -Db_sanitize=address,undefined "$(werror)"; }

dev_build() {
    local name=${1:-release}
    case $name in
    release | debug) ;;
    *) die "./dev build knows 'release' and 'debug', not '$name'" ;;
    esac
    setup build
    web_build
    "configure_$name"
    say "building build/$name"
    compile "$name" floors.stamp src/app/parley
    say "built build/$name/src/app/parley"
}

dev_run() {
    dev_build release >&2
    exec build/release/src/app/parley serve "$@"
}

# other_compilers: the compilers beside cc that this machine has, one name for each program
other_compilers() {
    local name path seen
    seen=" $(readlink -f "$(command -v cc)") "
    for name in gcc-12 gcc-13 gcc-14 clang clang-14 clang-19; do
        path=$(command -v "$name") || continue
        path=$(readlink -f "$path")
        case $seen in *" $path "*) continue ;; esac
        seen="$seen$path "
        echo "$name"
    done
}

# compile_with CC: everything that is in the repository, every warning an error. Without
# optimisation for clang, whose warnings do not depend on it.
compile_with() {
    local name="with-$1" level=2
    case $1 in clang*) level=0 ;; esac
    CC=$1 configure "$name" --buildtype=debug "-Doptimization=$level" -Dwerror=true -Db_lundef=false
    compile "$name"
}

# In CI the release build is that anyway, but for the tests: linking each of them that way would take minutes, and
# build/debug compiles them with the same warnings.
compile_with_default() {
    if [ -n "${CI:-}" ]; then
        configure_release
        compile release floors.stamp src/app/parley lab/fake-provider lab/parley-load bench/router-bench
    else
        compile_with cc
    fi
}

dev_compilers() {
    tally_start
    run_compilers
    tally_report
}

run_compilers() {
    local name
    step "prepare compilers" prepare_compilers
    step "no warning from cc ($(compiler_id))" compile_with_default
    for name in $(other_compilers); do
        step "no warning from $name" compile_with "$name"
    done
}

prepare_compilers() {
    setup build clang test
    web_build
}

dev_clean() {
    rm -rf build web/dist web/build
    say "removed build/, web/dist/ and web/build/ (data/ and node_modules/ stay)"
}
