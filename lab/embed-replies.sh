#!/bin/sh
# Writes every file of lab/replies as a row of one table in C, sorted by its path: embed-replies.sh FOLDER
# OUTPUT DEPFILE. What the lab answers is then in the program, and the program needs no files. The
# folders are in the depfile too: a new file changes them. Needs nothing but od and sed.
set -eu
export LC_ALL=C
folder=$1
output=$2
depfile=$3
{
    printf '/* Made from lab/replies by lab/embed-replies.sh. */\n#include "replies.h"\n\n'
    printf 'const struct reply reply_table[] = {\n'
    for path in "$folder"/*/*; do
        printf '{"%s", (const char[]){\n' "${path#"$folder"/}"
        od -An -v -tx1 "$path" | sed 's/ \([0-9a-f][0-9a-f]\)/(char)0x\1,/g'
        printf '0}, %d},\n' "$(wc -c <"$path")"
    done
    printf '};\nconst size_t reply_count = sizeof reply_table / sizeof reply_table[0];\n'
} >"$output"
printf '%s:' "$output" >"$depfile"
printf ' %s' "$folder" "$folder"/* "$folder"/*/* >>"$depfile"
printf '\n' >>"$depfile"
