# Building: one build folder for each way of building.

# configure NAME [MESON-OPTIONS...]: sets up build/NAME once
configure() {
    local name=$1
    shift
    [ -e "build/$name/build.ninja" ] || meson setup "build/$name" "$@" >"build-$name.log" 2>&1 ||
        { cat "build-$name.log"; rm -rf "build/$name"; die "meson setup failed"; }
    rm -f "build-$name.log"
}

werror() { [ -n "${CI:-}" ] && echo -Dwerror=true || echo -Dwerror=false; }
