// Sorts conversations under headings a person thinks in: today, yesterday, this week, then months.
import type { Conversation } from "../protocol.ts";

export interface DayGroup {
  label: string;
  conversations: Conversation[];
}

/** Calendar days, not 24 hours: late last night is yesterday. Rounding absorbs the hour of a clock change. */
function daysBetween(earlier: Date, later: Date): number {
  const midnight = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  return Math.round((midnight(later) - midnight(earlier)) / 86_400_000);
}

function dayLabel(date: Date, now: Date): string {
  const days = daysBetween(date, now);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days < 7) return "Previous 7 days";
  if (days < 30) return "Previous 30 days";
  return date.toLocaleDateString("en", { month: "long", year: "numeric" });
}

/** Newest first; conversations keep that order within a group. */
export function groupByDay(conversations: readonly Conversation[], now: Date): DayGroup[] {
  const sorted = [...conversations].sort((left, right) => (left.updated_at < right.updated_at ? 1 : -1));
  const groups: DayGroup[] = [];
  for (const conversation of sorted) {
    const label = dayLabel(new Date(conversation.updated_at), now);
    const last = groups.at(-1);
    if (last?.label === label) last.conversations.push(conversation);
    else groups.push({ label, conversations: [conversation] });
  }
  return groups;
}
