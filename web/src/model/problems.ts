// Turns what the server says is wrong into a sentence for a person.
import type { Problem } from "../protocol.ts";

/** Messages about a field leave its name out: "must have at least 8 characters". */
const PREDICATE = /^(must|is|are|has|needs|may|can|cannot|does)\b/;

function capitalise(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "password" becomes "Password"; a path such as "content[0].text" stays as it is. */
function nameField(field: string): string {
  return /^[a-z_]+$/.test(field) ? capitalise(field.replaceAll("_", " ")) : field;
}

export function describeProblem({ message, field }: Problem): string {
  const named = field && PREDICATE.test(message) ? `${nameField(field)} ${message}` : capitalise(message);
  return /[.!?…”"]$/.test(named) ? named : `${named}.`;
}

/** The remedy, unless a button beside it says the same. */
export function describeRemedy({ remedy }: Problem, hasButtons: boolean): string {
  return hasButtons && remedy === "Try again." ? "" : remedy;
}
