# Installing what is missing. What is needed stands in tools/packages.txt, nowhere else.

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf 'dev: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "need root to run: $* (install sudo, or run this once as root)"
    fi
}

# is_present c:COMMAND | p:PKG-CONFIG-FILE | f:FILE-OR-PATTERN
is_present() {
    local what=${1#?:}
    case $1 in
    c:*) command -v "$what" >/dev/null ;;
    p:*) pkg-config --exists "$what" 2>/dev/null ;;
    f:*) compgen -G "$what" >/dev/null ;;
    esac
}

# missing_packages GROUP...: the packages of those groups that are not there
missing_packages() {
    local group probe package
    while read -r group probe package; do
        case $group in '' | \#*) continue ;; esac
        case " $* " in *" $group "*) ;; *) continue ;; esac
        is_present "$probe" || printf '%s\n' "$package"
    done <tools/packages.txt
}

apt_update_once() {
    [ -n "${APT_UPDATED:-}" ] && return
    say "apt-get update"
    as_root apt-get update -q >/dev/null || die "apt-get update failed"
    APT_UPDATED=yes
}

# Debian 12 lacks two libraries; both run on its libc. They, and nothing else, come from Debian 13:
# same mirror as the machine's own sources, only the suite changes.
pin_from_trixie() {
    local sources=/etc/apt/sources.list.d/parley-trixie.sources mirror
    [ -e "$sources" ] && return
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    [ -n "$mirror" ] || die "cannot tell which Debian mirror this machine uses"
    say "Debian 12: taking libyyjson and libllhttp (these two only) from Debian 13"
    printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
        "$mirror" | as_root tee "$sources" >/dev/null
    printf 'Package: *\nPin: release n=trixie\nPin-Priority: -1\n\nPackage: libyyjson-dev libyyjson0 libllhttp-dev libllhttp9.2\nPin: release n=trixie\nPin-Priority: 500\n' |
        as_root tee /etc/apt/preferences.d/parley-trixie >/dev/null
    APT_UPDATED=
}

# setup GROUP...: installs what those groups miss, saying what and why
setup() {
    local packages
    packages=$(missing_packages "$@" | sort -u | tr '\n' ' ')
    [ -n "${packages// /}" ] || return 0
    case "$packages" in
    *libyyjson-dev* | *libllhttp-dev*)
        if grep -q '^VERSION_ID="12"' /etc/os-release; then
            apt_update_once
            pin_from_trixie
        fi
        ;;
    esac
    apt_update_once
    if grep -q '^VERSION_ID="12"' /etc/os-release; then
        packages=${packages/libclang-rt-dev/libclang-rt-14-dev}
    fi
    say "installing for '$*': $packages"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages >/dev/null ||
        die "apt-get install failed; see above"
}

# npm_install DIR: node_modules of that folder, from its lock file, only when the lock changed
npm_install() {
    local dir=$1 stamp="$1/node_modules/.parley-stamp"
    [ -e "$stamp" ] && cmp -s "$stamp" "$dir/package-lock.json" && return
    say "npm packages for $dir/"
    (cd "$dir" && timeout 600 npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 --loglevel=error) ||
        die "npm ci failed in $dir"
    cp "$dir/package-lock.json" "$stamp"
}
