// How a target is, in words for an administrator.
import type { Target } from "../protocol.ts";

const NEEDS_HELP: Record<string, string> = {
  provider_authentication: "its provider refused Parley’s key",
  quota_exhausted: "its quota is used up",
};

/** Why somebody has to do something about it, or null. */
export function helpNeeded({ state, last_error: error }: Target): string | null {
  return state === "benched" && error ? (NEEDS_HELP[error.class] ?? null) : null;
}

export function stateWord(target: Target): string {
  if (target.state === "benched") return "Taken out";
  if (target.state === "open") return "Left alone";
  if (target.state === "half_open") return "On trial";
  return target.until === null ? "Works" : "Pausing";
}

/** Whether there is anything to say of it: most models of a large provider were never asked. */
export function isKnown({ state, calls, waiting, succeeded, failed, last_error: error }: Target): boolean {
  return state !== "closed" || calls + waiting + succeeded + failed > 0 || error !== null;
}

const inSeconds = (ms: number) => `${(ms / 1000).toLocaleString("en", { maximumFractionDigits: ms < 10_000 ? 1 : 0 })} s`;
const duration = (ms: number) => (ms < 1000 ? `${ms} ms` : inSeconds(ms));
const counted = (count: number, one: string, many: string) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** "first words after 340 ms (slow: 1.2 s) · 2 answering · 14 answered, 1 failed". */
export function figures(target: Target): string {
  const { first_content_ms: first, p95_ms: slow, calls, waiting, succeeded, failed } = target;
  const parts: string[] = [];
  if (first !== null) parts.push(`first words after ${duration(first)}${slow === null ? "" : ` (slow: ${duration(slow)})`}`);
  if (calls > 0) parts.push(counted(calls, "call under way", "calls under way"));
  if (waiting > 0) parts.push(`${waiting.toLocaleString("en")} waiting`);
  if (succeeded + failed > 0) parts.push(`${succeeded.toLocaleString("en")} answered, ${failed.toLocaleString("en")} failed`);
  return parts.join(" · ") || (target.last_error === null ? "not asked yet" : "no answer yet");
}
