#!/bin/sh
# Writes a file's bytes as a C array: embed-text.sh INPUT OUTPUT NAME gives NAME[] and NAME_size.
# Needs nothing but od and sed.
set -eu
{
    printf '/* Made from %s by tools/embed-text.sh. */\n#include <stddef.h>\n' "$(basename "$1")"
    printf 'extern const char %s[];\nextern const size_t %s_size;\n' "$3" "$3"
    printf 'const char %s[] = {\n' "$3"
    od -An -v -tx1 "$1" | sed 's/ \([0-9a-f][0-9a-f]\)/(char)0x\1,/g'
    printf '0};\nconst size_t %s_size = sizeof %s - 1;\n' "$3" "$3"
} >"$2"
