// In plain words: who answered, and why it was not who was asked first.
import type { Message, RouteFailure, RouteStory } from "../protocol.ts";
import { firstBytes } from "./utf8.ts";

/** What a provider did, by the class of its failure: now, before, and in the middle of an answer. */
const WORDS: Record<string, { now: string; before: string; midway: string }> = {
  overloaded: { now: "is overloaded", before: "was overloaded", midway: "it was overloaded" },
  rate_limited: { now: "has too many requests", before: "had too many requests", midway: "it had too many requests" },
  provider_error: { now: "has failed", before: "failed", midway: "the provider failed" },
  network: { now: "cannot be reached", before: "could not be reached", midway: "the connection was lost" },
  timeout: { now: "does not answer", before: "did not answer in time", midway: "it fell silent" },
  provider_authentication: {
    now: "refuses Parley’s key",
    before: "refused Parley’s key",
    midway: "it refused Parley’s key",
  },
  quota_exhausted: { now: "has no quota left", before: "had no quota left", midway: "its quota was used up" },
  provider_permission: { now: "does not permit this", before: "did not permit this", midway: "it did not permit this" },
  model_not_found: { now: "does not have this model", before: "did not have this model", midway: "its model was gone" },
  context_length: {
    now: "cannot take a conversation this long",
    before: "could not take a conversation this long",
    midway: "the conversation was too long for it",
  },
};
const FAILED = WORDS["provider_error"]!;

const words = (failureClass: string) => WORDS[failureClass] ?? FAILED;

/** The line below an answer, or null when there is nothing to tell. */
export function storyLine(message: Message): string | null {
  const story = message.route;
  if (story === null || story === undefined) return null;
  if (message.status === "streaming" && isAsking(message, story)) return askingLine(message, story);
  if (message.status === "failed") return vainLine(story);
  const sentences = [...story.joints.map(jointSentence), answeredSentence(story)];
  return sentences.filter(Boolean).join(" ") || null;
}

/** Somebody failed, and the next one has shown nothing yet. */
function isAsking(message: Message, story: RouteStory): boolean {
  return story.failures.length > 0 && (message.content.length === 0 || message.model !== story.target);
}

function askingLine(message: Message, { target, failures }: RouteStory): string {
  const last = failures.at(-1)!;
  const next = last.target === target ? "asking it again" : `asking ${target}`;
  const { now, midway } = words(last.class);
  const brokeOff = last.target === message.model && message.content.length > 0;
  return `${last.target} ${brokeOff ? `broke off (${midway})` : now}, ${next}…`;
}

function jointSentence({ from, to, class: failureClass }: RouteStory["joints"][number]): string {
  const next = from === to ? "asked again, it" : to;
  return `The answer broke off at ${from} (${words(failureClass).midway}); ${next} went on from here.`;
}

/** The failures that did not cut an answer off: those that did are told with their joint. */
function beforehand({ failures, joints }: RouteStory): RouteFailure[] {
  const rest = [...failures];
  for (const joint of joints) {
    const index = rest.findIndex((failure) => failure.target === joint.from && failure.class === joint.class);
    if (index >= 0) rest.splice(index, 1);
  }
  return rest;
}

/** "a was overloaded, b could not be reached"; what happened twice is said once. */
function listed(failures: readonly RouteFailure[]): string {
  return [...new Set(failures.map((failure) => `${failure.target} ${words(failure.class).before}`))].join(", ");
}

function answeredSentence(story: RouteStory): string {
  const rest = beforehand(story);
  if (rest.length === 0) return "";
  if (story.joints.length > 0) return `${listed(rest)}.`;
  if (rest.some((failure) => failure.target !== story.target)) return `Answered by ${story.target}: ${listed(rest)}.`;
  return `Answered by ${story.target} when asked again: at first it ${words(rest.at(-1)!.class).before}.`;
}

/** The error itself is shown already; whom else Parley has asked is not. */
function vainLine(story: RouteStory): string | null {
  const vain = listed(story.failures);
  return story.failures.length < 2 ? null : `Asked in vain: ${vain}.`;
}

/** Where the answer was joined, by the last words in front of it: `…the last words`. */
export function jointPlaces(message: Message): string[] {
  const text = message.content.map((part) => (part.type === "text" ? part.text : "")).join("");
  return (message.route?.joints ?? []).map(({ text_bytes: bytes }) => {
    const before = firstBytes(text, bytes).trimEnd();
    return before === "" ? "at its beginning" : `behind “${before.length > 40 ? "…" : ""}${before.slice(-40)}”`;
  });
}
