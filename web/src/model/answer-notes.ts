// The words around an answer: how it ended, what it cost.
import type { Message, Problem, Usage } from "../protocol.ts";

/** An answer that failed always says something, also when the server left out why. */
export function answerProblem(message: Message): Problem | null {
  if (message.status !== "failed") return null;
  return message.error ?? { code: "internal", message: "The answer failed.", remedy: "Try again." };
}

/** Why an answer that did not fail is nevertheless not whole. */
export function endNote(message: Message): string | null {
  if (message.status === "stopped") return "You stopped this answer.";
  if (message.status === "interrupted") return "This answer was interrupted. What had come is kept.";
  if (message.status === "complete" && message.finish === "length") return "The answer reached its length limit.";
  return null;
}

export function formatUsage(usage: Usage | null): { summary: string; detail: string } | null {
  if (usage === null) return null;
  const about = usage.estimated ? "about " : "";
  const count = (tokens: number) => tokens.toLocaleString("en");
  const cached = usage.input_cached > 0 ? ` (${count(usage.input_cached)} cached)` : "";
  const reasoning = usage.reasoning > 0 ? ` (${count(usage.reasoning)} for reasoning)` : "";
  return {
    summary: `${about}${count(usage.input + usage.output)} tokens`,
    detail: `${about}${count(usage.input)} in${cached}, ${count(usage.output)} out${reasoning}`,
  };
}

/** Arguments arrive as JSON text, in pieces: shown indented once they are whole. */
export function formatArguments(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
