import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_BLOCKS, parseBlocks, parseWhole, type Blocks } from "../src/model/blocks.ts";

const SAMPLE = `# Title

A paragraph with **bold** and \`code\`
over two lines.

- one
- two

  still two

    nested code

1. first

\`\`\`c
int main(void)
{

    return 0;
}
\`\`\`

| a | b |
|---|--:|
| 1 | 2 |

> quoted
> twice

Setext
======

<div>
raw
</div>

The end.`;

const shape = (blocks: Blocks) => blocks.tokens.map((token) => [token.type, token.raw]);

function grow(text: string, step: number): Blocks {
  let blocks = NO_BLOCKS;
  for (let end = step; end < text.length; end += step) blocks = parseBlocks(blocks, text.slice(0, end));
  return parseBlocks(blocks, text);
}

test("grown in steps of any size, the blocks are those of the whole text", () => {
  const whole = shape(parseWhole(SAMPLE));
  for (let step = 1; step <= 40; step++) assert.deepEqual(shape(grow(SAMPLE, step)), whole, `steps of ${step}`);
});

test("settled blocks are kept as they are, not parsed again", () => {
  const before = parseBlocks(NO_BLOCKS, "First.\n\nSecond.\n\nThi");
  const after = parseBlocks(before, "First.\n\nSecond.\n\nThird.");
  assert.ok(before.settled >= 2);
  assert.equal(after.tokens[0], before.tokens[0]);
});

test("the cost of a step does not grow with the text", () => {
  let blocks = NO_BLOCKS;
  let text = "";
  for (let index = 0; index < 2000; index++) {
    text += `Paragraph ${index}.\n\n`;
    blocks = parseBlocks(blocks, text);
  }
  assert.ok(text.length - blocks.settledLength < 100);
});

test("text that is replaced, not continued, is parsed anew", () => {
  const blocks = parseBlocks(parseWhole("One.\n\nTwo."), "Something else.");
  assert.deepEqual(shape(blocks), [["paragraph", "Something else."]]);
});

test("line ends of any kind are the same", () => {
  assert.deepEqual(shape(grow(SAMPLE.replace(/\n/g, "\r\n"), 7)), shape(parseWhole(SAMPLE)));
});
