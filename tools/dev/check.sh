# Checking: what a reader should not have to look for.

c_sources() { git ls-files -co --exclude-standard -- '*.c' '*.h'; }

# The form is that of one version of clang-format, because versions differ in details.
FORMATTER_VERSION=14

formatter() {
    local name
    for name in "clang-format-$FORMATTER_VERSION" clang-format; do
        if command -v "$name" >/dev/null && "$name" --version | grep -q "version $FORMATTER_VERSION\."; then
            echo "$name"
            return
        fi
    done
    return 1
}

dev_fmt() {
    local program
    setup check
    program=$(formatter) || die "formatting needs clang-format $FORMATTER_VERSION (Debian 12's)"
    c_sources | xargs "$program" -i
    say "formatted $(c_sources | wc -l) files"
}

check_format() { c_sources | xargs "$(formatter)" --dry-run -Werror; }

# tidy_sources all|changed: the .c files to look at
tidy_sources() {
    local base
    base=$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null) || base=
    if [ "$1" = all ] || [ -z "$base" ]; then
        git ls-files -co --exclude-standard -- 'src/*.c' 'lab/*.c'
    else
        { git diff --name-only "$base" -- 'src/*.c' 'lab/*.c'; git ls-files -o --exclude-standard -- 'src/*.c' 'lab/*.c'; } | sort -u
    fi
}

# Only files that the build knows: clang-tidy needs to be told how each is compiled.
built_sources() {
    local file
    while read -r file; do
        [ -e "$file" ] && grep -q "\"file\": \"../../$file\"" build/release/compile_commands.json && echo "$file"
    done
    return 0
}

# clang-tidy reads how gcc was called, and stops at what only gcc knows.
commands_for_tidy() {
    mkdir -p build/tidy
    sed -E 's/ -m[a-z]+-strategy=[^ "]*//g' build/release/compile_commands.json >build/tidy/compile_commands.json
}

check_tidy() {
    local files
    files=$(tidy_sources "$1" | built_sources)
    [ -n "$files" ] || { echo "    nothing changed"; return 0; }
    echo "    $(wc -l <<<"$files") files"
    commands_for_tidy
    xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/tidy --warnings-as-errors='*' <<<"$files" 2>/dev/null
}

# The address of a package registry has no place here: whoever installs uses their own.
check_locks() {
    local wrong=0
    if git grep -nE '"resolved"' -- '*package-lock.json' ':!*/node_modules/*'; then
        echo "a lock file names where packages came from: npm install with omit-lockfile-registry-resolved"
        wrong=1
    fi
    if git grep -nE 'https?://registry\.[a-z]' -- .; then
        echo "a file names a package registry"
        wrong=1
    fi
    return $wrong
}

check_shell() {
    local file wrong=0
    while read -r file; do
        case $(head -n 1 "$file") in
        '#!/bin/sh'*) sh -n "$file" || wrong=1 ;;
        *) bash -n "$file" || wrong=1 ;;
        esac
    done < <(git ls-files -co --exclude-standard -- dev .ci/run 'tools/*.sh')
    return $wrong
}

check_web() { npm --prefix web --silent run check; }
check_system() { npm --prefix tests/system --silent run check; }

prepare_checks() {
    setup build check test
    web_build
    prepare_web
    prepare_system
    configure_release
}

# run_checks all|changed
run_checks() {
    must "prepare the checks" prepare_checks
    if formatter >/dev/null; then
        step "formatting" check_format
    else
        say "formatting: skipped, clang-format $FORMATTER_VERSION is not here"
        tally 0 0 1
    fi
    step "order of the floors" tools/check-floors.sh
    step "headers compile alone" tools/check-headers.sh
    step "lock files" check_locks
    step "shell syntax" check_shell
    step "types of the web app" check_web
    step "types of the whole-system tests" check_system
    step "clang-tidy, $1 files" check_tidy "$1"
}

# dev_check [all]
dev_check() {
    tally_start
    run_checks "${1:-changed}"
    tally_report
}
