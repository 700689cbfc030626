# Packaging: a .deb of the release build, so that nobody needs a compiler to run Parley.

PACKAGE_STAGE=build/package/root

package_version() { sed -n "s/^ *version: '\([^']*\)'.*/\1/p" meson.build | head -n 1; }

# Debian 12 has no package of these two libraries: there they travel along.
package_bundles() { grep -q '^VERSION_ID="12"' /etc/os-release; }

bundle_libraries() {
    local name path
    mkdir -p "$PACKAGE_STAGE/usr/lib/parley"
    for name in libyyjson.so.0 libllhttp.so.9.2; do
        path=$(ldd "$PACKAGE_STAGE/usr/bin/parley" | awk -v name="$name" '$1 == name { print $3 }')
        [ -n "$path" ] || continue # linked statically
        install -m 644 "$(readlink -f "$path")" "$PACKAGE_STAGE/usr/lib/parley/$name"
    done
    for name in libyyjson0 libllhttp9.2; do
        install -D -m 644 "/usr/share/doc/$name/copyright" "$PACKAGE_STAGE/usr/share/doc/parley/copyright.$name"
    done
    patchelf --set-rpath /usr/lib/parley "$PACKAGE_STAGE/usr/bin/parley"
}

stage_files() {
    rm -rf build/package
    mkdir -p "$PACKAGE_STAGE/DEBIAN"
    install -D -m 755 build/release/src/app/parley "$PACKAGE_STAGE/usr/bin/parley"
    strip "$PACKAGE_STAGE/usr/bin/parley"
    install -D -m 644 deploy/parley.service "$PACKAGE_STAGE/usr/lib/systemd/system/parley.service"
    install -D -m 644 deploy/parley.yaml.example "$PACKAGE_STAGE/etc/parley/parley.yaml"
    install -D -m 644 deploy/parley.yaml.example "$PACKAGE_STAGE/usr/share/doc/parley/parley.yaml.example"
    install -D -m 644 LICENSE "$PACKAGE_STAGE/usr/share/doc/parley/copyright"
    echo /etc/parley/parley.yaml >"$PACKAGE_STAGE/DEBIAN/conffiles"
    install -m 755 deploy/postinst deploy/prerm "$PACKAGE_STAGE/DEBIAN/"
}

# The libraries that the program needs, as packages with their least versions.
package_depends() {
    local bundled=()
    ! package_bundles || bundled=(-xlibyyjson0 -xlibllhttp9.2)
    mkdir -p build/package/debian
    printf 'Source: parley\n\nPackage: parley\nArchitecture: any\n' >build/package/debian/control
    (cd build/package && dpkg-shlibdeps -O "${bundled[@]}" root/usr/bin/parley 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}

write_control() {
    local depends=$1
    cat >"$PACKAGE_STAGE/DEBIAN/control" <<END
Package: parley
Version: $(package_version)
Architecture: $(dpkg --print-architecture)
Maintainer: The Parley authors <parley@localhost>
Section: net
Priority: optional
Installed-Size: $(du -ks --exclude=DEBIAN "$PACKAGE_STAGE" | cut -f 1)
Depends: $depends, ca-certificates
Description: self-hosted chat platform for large language models
 One small program that serves a chat application in the browser, and an
 OpenAI-compatible gateway, in front of any configured provider of models.
END
}

dev_package() {
    local depends name
    setup build package
    ! package_bundles || setup package-12
    dev_build release
    stage_files
    depends=$(package_depends)
    [ -n "$depends" ] || die "dpkg-shlibdeps could not tell what the program needs"
    ! package_bundles || bundle_libraries
    write_control "$depends"
    mkdir -p package
    name=package/parley_$(package_version)_$(dpkg --print-architecture).deb
    dpkg-deb --root-owner-group --build "$PACKAGE_STAGE" "$name" >/dev/null
    say "built $name, $(du -k "$name" | cut -f 1) KiB"
    dpkg-deb --field "$name" Depends
}
