#!/bin/sh
# Fails when a file under src/ includes a header of a floor above its own. The lab stands on base,
# wire and net alone, so that what it says never comes from the codecs it helps to judge, and only
# app, which plays it for `parley selftest`, includes it.
#
#   tools/check-floors.sh [ROOT [STAMP]]     STAMP is written when the order holds (for the build)
set -eu
root=${1:-.}
stamp=${2:-}
case $stamp in '' | /*) ;; *) stamp=$PWD/$stamp ;; esac
cd "$root"
find src lab -name '*.[ch]' | LC_ALL=C sort | xargs awk '
BEGIN {
    count = split("base wire net llm store account route chat api app", floors, " ")
    for (i = 1; i <= count; i++) height[floors[i]] = i
    height["lab"] = height["net"] + 0.5
}
FNR == 1 {
    split(FILENAME, path, "/")
    own = path[1] == "lab" ? "lab" : path[2]
    if (!(own in height)) { print FILENAME ": src/" own " is not a floor"; wrong = 1 }
}
/^[ \t]*#[ \t]*include[ \t]*["<]/ {
    name = $0
    sub(/^[^"<]*["<]/, "", name)
    sub(/[">].*$/, "", name)
    split(name, parts, "/")
    if (parts[1] == "lab" && parts[2] && own != "app") {
        print FILENAME ":" FNR ": " own " must not include " name ": only app plays the lab"; wrong = 1
    } else if (parts[1] in height && height[parts[1]] > height[own]) {
        print FILENAME ":" FNR ": " own " must not include " name ", which is above it"; wrong = 1
    } else if ($0 ~ /include[ \t]*"/ && !(parts[1] in height) && own != "lab") {
        print FILENAME ":" FNR ": include \"" name "\" does not name its floor"; wrong = 1
    }
}
END { exit wrong }'
[ -z "$stamp" ] || : >"$stamp"
