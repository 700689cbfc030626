// The answers of the mock. The beginning of the prompt chooses: /code, /table, /long, /think,
// /tool, /fail, /hostile, /slow; anything else gets a short answer.
const pieces = (text, type = "text") => (text.match(/\s*\S+/g) ?? []).map((piece) => ({ type, text: piece }));

const CODE = `A ring buffer keeps the last *n* items and never allocates after it was made. Three things make it simple:

1. The size is a power of two, so that wrapping is a mask.
2. \`head\` and \`tail\` only grow; their difference is the length.
3. One writer and one reader need no lock.

\`\`\`c
struct ring {
    size_t head, tail; /* both only grow */
    size_t mask;
    int items[];
};

static bool ring_push(struct ring *ring, int item)
{
    if (ring->head - ring->tail > ring->mask)
        return false;
    ring->items[ring->head++ & ring->mask] = item;
    return true;
}
\`\`\`

And how it is used from **Python**, through \`ctypes\`:

\`\`\`python
from ctypes import CDLL

ring = CDLL("./libring.so")
for number in range(10):
    assert ring.ring_push(handle, number), f"full at {number}"
\`\`\`

> A full ring refuses; it never overwrites silently.

See the [C reference](https://en.cppreference.com/w/c) for the rules of unsigned overflow.`;

const TABLE = `## Three ways to store it

| Way | Good for | Writes per second |
|:--|:--|--:|
| SQLite | one machine | 50,000 |
| PostgreSQL | several machines | 30,000 |
| A file | nobody | 7 |

### What I would do

- [x] Start with SQLite
- [ ] Move when a second machine comes

Most never need the second step.`;

const HOSTILE = `<script>alert(1)</script><img src=x onerror=alert(2)>

![tracker](https://evil.example/pixel.png) [click](javascript:alert(3)) [fine](https://example.org) &amp; &lt;b&gt;

<div style="position:fixed;inset:0">overlay</div>

\`\`\`html
<script>alert("4")</script>
\`\`\``;

const LONG = Array.from({ length: 60 }, (_, index) => `Paragraph ${index + 1}. The quick brown fox jumps over the lazy dog, again and again, until the page is long enough to scroll and the reader wants to look up.`).join("\n\n");

const FAILED = { code: "overloaded", message: "The provider is overloaded.", remedy: "Try again in a moment." };

const ANSWERS = {
  "/code": () => pieces(CODE),
  "/table": () => pieces(TABLE),
  "/hostile": () => pieces(HOSTILE),
  "/long": () => pieces(LONG),
  "/slow": () => pieces(LONG).map((event) => ({ ...event, pauseMs: 120 })),
  "/think": () => [
    ...pieces("The person asks for a number. Seventeen is prime, and people find primes random.", "reasoning"),
    ...pieces("**Seventeen.** It is the number people name most often when asked for a random one below twenty."),
  ],
  "/tool": () => [
    ...pieces("I need the weather for that."),
    { type: "tool_start", index: 0, id: "call_1", name: "get_weather" },
    ...['{"city":', '"Vienna",', '"days":3}'].map((text) => ({ type: "tool_arguments", index: 0, text })),
  ],
  "/fail": () => [
    ...pieces("This answer begins well and then"),
    { type: "finish", status: "failed", finish: "error", error: FAILED },
  ],
};

export function pickAnswer(prompt) {
  const command = prompt.split(/\s/)[0];
  const make = ANSWERS[command] ?? (() => pieces(`You wrote “${prompt.slice(0, 200)}”. This is the mock speaking: it answers everything the same way, but it streams like the real thing.`));
  return make();
}
