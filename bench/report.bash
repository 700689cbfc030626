# The table. A measure that was not taken shows as a dash; a target is hit or missed, never rounded.

number() { # VALUE DIGITS
    [ -n "$1" ] && printf "%.$2f" "$1" || printf '–'
}

# minus A B: empty when one is
minus() { [ -n "$1" ] && [ -n "$2" ] && calculate "$1 - $2" || true; }
# nothing to compare with when the divisor is not above zero (noise)
over() { [ -n "$1" ] && [ -n "$2" ] && awk "BEGIN {exit !($2 > 0)}" && calculate "$1 / $2" || true; }

verdict() { # VALUE TARGET
    [ -n "$1" ] && [ -n "$2" ] || { printf '–'; return; }
    awk "BEGIN {exit !($1 <= $2)}" && printf yes || printf '**no**'
}

# row TEXT DIGITS DIRECT NGINX PARLEY RATIO TARGET-TEXT TARGET VALUE
row() {
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$1" "$(number "$3" "$2")" "$(number "$4" "$2")" \
        "$(number "$5" "$2")" "$(number "$6" 2)" "${7:-–}" "$(verdict "$9" "$8")"
}

row_ratio() { # TEXT MEASURE DIGITS [TARGET]
    local nginx parley ratio
    nginx=$(median "$2" nginx)
    parley=$(median "$2" parley)
    ratio=$(over "$parley" "$nginx")
    row "$1" "$3" "$(median "$2" direct)" "$nginx" "$parley" "$ratio" "${4:+at most $4 x nginx}" "${4:-}" "$ratio"
}

# What a server adds to the same measure taken directly at the provider.
row_added() { # TEXT MEASURE
    local direct nginx parley
    direct=$(median "$2" direct)
    nginx=$(minus "$(median "$2" nginx)" "$direct")
    parley=$(minus "$(median "$2" parley)" "$direct")
    row "$1" 0 "$direct" "$nginx" "$parley" "$(over "$parley" "$nginx")" "" "" ""
}

row_absolute() { # TEXT MEASURE DIGITS TARGET UNIT
    local parley
    parley=$(median "$2" parley)
    row "$1" "$3" "" "$(median "$2" nginx)" "$parley" "" "${4:+at most $4 $5}" "${4:-}" "$parley"
}

table() {
    echo '| measure | direct | nginx | Parley | Parley / nginx | target | met |'
    echo '| --- | ---: | ---: | ---: | ---: | --- | --- |'
    row_ratio 'CPU a request, passed through, µs' requests-pass-cpu 1
    row_ratio 'CPU a request, translated, µs' requests-translate-cpu 1 1.5
    row_ratio 'CPU a paced chunk, passed through, µs' paced-pass-cpu 2
    row_ratio 'CPU a paced chunk, translated, µs' paced-translate-cpu 2 1.5
    row_ratio 'CPU a burst chunk, passed through, µs' burst-pass-cpu 2 1.5
    row_ratio 'CPU a burst chunk, translated, µs' burst-translate-cpu 2 1.5
    row_ratio 'requests a second, passed through' requests-pass-rate 0
    row_ratio 'requests a second, translated' requests-translate-rate 0
    row_added 'added p50, 64 connections, passed through, µs' requests-pass-p50
    row_added 'added p99, 64 connections, passed through, µs' requests-pass-p99
    row_added 'added p50, 64 connections, translated, µs' requests-translate-p50
    row_added 'added p99, 64 connections, translated, µs' requests-translate-p99
    row_added 'added p50, one at a time, passed through, µs' single-pass-p50
    row_added 'added p50, one at a time, translated, µs' single-translate-p50
    row_added 'added p99, one at a time, translated, µs' single-translate-p99
    row_added 'added time to first token, p50, passed through, µs' paced-pass-p50
    row_added 'added time to first token, p50, translated, µs' paced-translate-p50
    row_added 'added time to first token, p99, translated, µs' paced-translate-p99
    row_absolute 'CPU of the router alone a request, one target, µs' router-one_target_ns 2 2 µs
    row_absolute 'CPU of the router alone a request, four targets, µs' router-four_targets_ns 2 2 µs
    row_absolute 'CPU of estimating a request of 4096 bytes, µs' router-needs_ns 2
    row_absolute 'CPU of metrics and the log record of an attempt, µs' router-books_ns 2
    row_absolute 'CPU of the router alone an event of text, µs' router-event_ns 3
    row_absolute 'CPU of limits and budgets a request, none set, µs' limiter_unlimited_ns 2
    row_absolute 'CPU of limits and budgets a request, all set for four subjects, µs' limiter_four_ns 2
    row_absolute 'the same, on two threads at once, µs' limiter_two_threads_ns 2
    row_absolute 'CPU of the ledger an attempt, on the loop, µs' ledger-attempt_ns 2
    row_absolute 'CPU of the ledger a row, in the store, µs' ledger-store_row_ns 2
    row_absolute 'memory of the router a stream, bytes' router-arena_bytes 0 1024 bytes
    row_absolute 'lost by a fallback from a 503, p50, µs' fallback-503 0 1000 µs
    row_absolute 'lost by a fallback from a refused connection, p50, µs' fallback-refused 0 1000 µs
    row_absolute 'private memory idle, MiB' idle-Private_Dirty 1 15 MiB
    row_absolute 'Pss idle, MiB' idle-Pss 1
    row_absolute 'RSS idle, MiB' idle-Rss 1
    row_absolute "an idle WebSocket of $plain_sockets, KiB" socket-memory 2 4 KiB
    row_absolute "an idle TLS WebSocket of $tls_sockets, KiB" tls-socket-memory 2 20 KiB
    row_absolute "a stream of $held_streams beyond its body, passed through, KiB" stream-memory-pass 2 16 KiB
    row_absolute "a stream of $held_streams beyond its body, translated, KiB" stream-memory-translate 2 16 KiB
    row_absolute 'start to ready, ms' ready 1 100 ms
}

# governing_row TEXT DIGITS UNGOVERNED GOVERNED RATIO TARGET-TEXT VERDICT
governing_row() {
    printf '| %s | %s | %s | %s | %s | %s |\n' "$1" "$(number "$3" "$2")" "$(number "$4" "$2")" \
        "$(number "$5" 2)" "${6:-–}" "${7:-–}"
}

# What is done in a second of the processor's time, and how much of it is left when it is governed.
rows_governing() { # TEXT MEASURE
    local ratio ungoverned
    ratio=$(median "$2-ratio" governed)
    ungoverned=$(over 1000000 "$(median "$2-cpu" ungoverned)")
    governing_row "$1" 0 "$ungoverned" "$(over 1000000 "$(median "$2-cpu" governed)")" "$ratio" \
        'at least 0.90' "$(verdict 0.90 "$ratio")"
    governing_row 'the same, and every answer is kept' 0 "$ungoverned" \
        "$(over 1000000 "$(median "$2-cpu" keeping)")" "$(median "$2-ratio" keeping)"
}

row_both() { # TEXT MEASURE DIGITS [TARGET-TEXT VERDICT]
    local ungoverned governed
    ungoverned=$(median "$2" ungoverned)
    governed=$(median "$2" governed)
    governing_row "$1" "$3" "$ungoverned" "$governed" "$(over "$governed" "$ungoverned")" "${4:-}" "${5:-}"
}

governing_table() {
    local way text
    echo '| measure | ungoverned | governed | governed / ungoverned | target | met |'
    echo '| --- | ---: | ---: | ---: | --- | --- |'
    rows_governing 'requests a CPU second, passed through' governing-requests-pass
    rows_governing 'requests a CPU second, translated' governing-requests-translate
    rows_governing 'burst streams a CPU second, passed through' governing-burst-pass
    rows_governing 'burst streams a CPU second, translated' governing-burst-translate
    for way in pass translate; do
        [ "$way" = pass ] && text='passed through' || text=translated
        row_both "of $held_streams streams, answered at once, $text" "at-once-$way" 0 "at least $held_streams" \
            "$(verdict "$held_streams" "$(median "at-once-$way" governed)")"
        row_both "CPU a chunk of those, $text, µs" "at-once-$way-cpu" 2
        row_both "a stream of $held_streams beyond its body, $text, KiB" "stream-memory-$way" 2 'at most 16 KiB' \
            "$(verdict "$(median "stream-memory-$way" governed)" 16)"
    done
}

machine() {
    printf -- '- Machine: %s, %s cores, %s MiB of memory' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
        "$(awk '/^MemTotal/ {printf "%d", $2 / 1024}' /proc/meminfo)"
    grep -q '^flags.* hypervisor' /proc/cpuinfo && printf ', a virtual machine'
    printf '\n- Kernel: Linux %s; system: %s\n' "$(uname -r)" "$(. /etc/os-release && echo "$PRETTY_NAME")"
    printf -- '- Measured against: %s, one worker, plain proxy, `proxy_buffering off` for streams\n' \
        "$(nginx -v 2>&1 | sed 's/.*: //')"
    printf -- '- Built with %s, release; Parley %s\n' "$(cc --version | head -n 1)" \
        "$(git describe --always --dirty 2>/dev/null || echo unknown)"
    printf -- '- Date: %s; %s interleaved round(s), medians; %s\n' "$(date -u +%Y-%m-%d)" "$rounds" "$pinning"
}

document() {
    cat <<'TEXT'
# Performance

Written by `./dev bench --write`, as it came out: misses are in the table. Run it on your own machine;
ratios travel, absolute figures do not.

TEXT
    machine
    cat <<'TEXT'

TEXT
    table
    cat <<'TEXT'

What it costs that everything is governed, in the same rounds:

TEXT
    governing_table
    cat <<'TEXT'

What is measured:

- **The provider** is `lab/fake-provider`: literal bytes, never Parley's own encoders. *direct* is the
  load generator straight at it; it shares its core with the provider, so *direct* is a little slower than it
  could be, and what the others add a little smaller.
- **The server** has one core of its own; Parley runs one loop. CPU is the scheduler's own count for all
  threads of the server's process, user and system (`/proc/PID/task/*/schedstat`), divided by the work done; what Parley
  writes behind its answers (the ledger's rows, once a second) is waited for and counted.
- **Parley** in the first table has its default settings, so it is governed by them: the key, its scope, the ledger and
  the metrics are at work, but nothing is limited, nothing has a price of its own, and no answers are kept.
- **Governed** in the second table has all of it: requests and tokens by the minute, the day and the month, streams,
  hard and soft budgets by the day and the month, each for the key, the person, the model and the address; prices, so
  that every attempt is paid for; a look into the cache of answers, which misses, since no two bodies are the same; the
  ledger with its journal and its rows in the database; metrics. **Every answer is kept**: each goes into the cache,
  too, for nobody, as none is asked for again (the others say `no-store`; streams at once, and their memory, are with
  answers kept). **Ungoverned** is the same program with `server.governed: false`, no prices and no cache: it asks for
  the key and counts its metrics as the other does (these cannot be switched off), but knows no scope, no limits, no
  budget and no ledger. All get the same bytes in the same rounds, in turns of a tenth of a second; the
  ratio is the median of the rounds' own, and may differ a little from that of the two medians beside it.
- **Streams at once**: all are started within two seconds and have an event every 50 ms; each gets all its 100
  events, or the bench fails. *Answered at once* is the most that had had their first and not yet their last event.
- **A request** is a chat of 4096 bytes with a tool, answered by 1200 bytes of text, on 64 connections that
  each send their next when the last is answered. *Passed through*: OpenAI chat to OpenAI chat. *Translated*:
  OpenAI chat to an Anthropic provider; nginx passes the Anthropic form of the same chat through.
- **A stream** has 100 events of 60 bytes of text, 200 streams at a time: *paced*, an event every 10 ms and the
  streams started over one second; *burst*, all events at once. Every event is counted on arrival.
- **Added** is the difference to *direct*, for the same work (the column *direct* has what it is added to); a negative value is noise, or queueing that
  happened in the server rather than in the provider.
- **The router alone** (`bench/router.c`) is everything in `src/route` that a streamed answer goes through, from the
  plan to the ledger's row, with a provider that is a function call; an event has 60 bytes. Beside it stand the
  estimate of the request's tokens, and counting and logging the attempt (to `/dev/null`).
- **Limits and budgets** (`bench/limiter.c`): reserving and settling one request in four subjects, among 10,000 others.
  **The ledger** (`bench/ledger.c`): an attempt from its beginning to its end, 32 in a turn of the loop, journal
  included; and a row of a full block going into the database.
- **Lost by a fallback**: one request at a time to a route whose first target answers 503, or whose port is closed, and
  whose second is well, less the same without the first; the policy's own wait (`backoff_ms`) is set to 0.
- **Noise**: a virtual machine's figures differ from run to run by up to a factor of two, the yardstick's too (seen for
  nginx: 6.7 to 13 µs a request; for the ratio of a translated request: 1.1 to 2.0). One run that meets a target
  proves little.
- **Memory** is `Private_Dirty` of `smaps_rollup`, so without what is shared with other processes, and without the
  kernel's socket buffers; Pss and RSS stand beside it. A WebSocket or stream is the growth divided by their
  number. *Ready* is from exec to the first 200 of `/readyz` on existing data.
TEXT
}
