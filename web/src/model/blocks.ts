// Splits growing Markdown into blocks so that only the last one is parsed again for every few
// words that arrive: everything before the last block cannot change any more by appending.
import { Marked, type Token } from "marked";

const markdown = new Marked({ gfm: true });

export interface Blocks {
  /** The text these blocks were made from. */
  readonly text: string;
  readonly tokens: readonly Token[];
  /** How many of `tokens` are settled, and how much of `text` they cover. */
  readonly settled: number;
  readonly settledLength: number;
}

export const NO_BLOCKS: Blocks = { text: "", tokens: [], settled: 0, settledLength: 0 };

/** `previous` may be any earlier result; it is used when `text` goes on from it. */
export function parseBlocks(previous: Blocks, text: string): Blocks {
  // The lexer would do this itself, and lengths of tokens would no longer measure the text.
  const clean = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
  if (clean === previous.text) return previous;
  const base = clean.startsWith(previous.text) ? previous : NO_BLOCKS;
  const kept = base.tokens.slice(0, base.settled);
  const rest = clean.slice(base.settledLength);
  const fresh = markdown.lexer(rest);
  const newlySettled = isMeasurable(fresh, rest) ? countSettled(fresh) : 0;
  return {
    text: clean,
    tokens: [...kept, ...fresh],
    settled: kept.length + newlySettled,
    settledLength: base.settledLength + rawLength(fresh.slice(0, newlySettled)),
  };
}

/** The whole text at once: a link may be defined after its use, which the growing parse cannot see. */
export function parseWhole(text: string): Blocks {
  return parseBlocks(NO_BLOCKS, text);
}

/** Everything before the last token that is not white space: what comes can still change that one. */
function countSettled(tokens: readonly Token[]): number {
  return Math.max(0, tokens.findLastIndex((token) => token.type !== "space"));
}

function rawLength(tokens: readonly Token[]): number {
  return tokens.reduce((sum, token) => sum + token.raw.length, 0);
}

/** In odd corners the lexer rewrites white space; then nothing settles, which is only slower. */
function isMeasurable(tokens: readonly Token[], text: string): boolean {
  return rawLength(tokens) === text.length;
}
