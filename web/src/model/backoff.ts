// How long to wait before the next attempt to connect: doubling, capped, and jittered so that
// a restarted server does not meet all its tabs in the same instant.
const FIRST_MS = 400;
const LONGEST_MS = 15_000;

export function backoffMs(attempt: number, random: () => number): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(ceiling / 2 + (random() * ceiling) / 2);
}
