#!/bin/sh
# Every header compiles alone: whoever includes it needs to include nothing else before it.
#
#   tools/check-headers.sh [CC]
set -eu
cd "$(dirname "$0")/.."
CC=${1:-${CC:-cc}}
FLAGS="-std=gnu17 -D_GNU_SOURCE -DPARLEY_VERSION=\"0\" -Isrc -Wall -Wextra -Wpedantic -Werror
    $(pkg-config --cflags libuv yyjson libllhttp openssl sqlite3 libsodium yaml-0.1 zlib libxxhash)"
export CC FLAGS
find src -name '*.h' | LC_ALL=C sort | xargs -P "$(nproc)" -n 8 sh -c '
    status=0
    for header; do
        printf "#include \"%s\"\ntypedef int not_empty;\n" "${header#src/}" |
            "$CC" $FLAGS -fsyntax-only -x c - || { echo "$header does not compile alone" >&2; status=1; }
    done
    exit $status' sh
