// What the sections of the settings page share.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { problemOf } from "../net/api.ts";
import type { Problem } from "../protocol.ts";
import { ProblemNote } from "./parts.tsx";

export function Section({ title, lead, children }: { title: string; lead: string; children: ComponentChildren }) {
  return (
    <section class="settings-section" aria-label={title}>
      <h2>{title}</h2>
      <p class="lead">{lead}</p>
      {children}
    </section>
  );
}

interface Loaded<T> {
  value: T | null;
  problem: Problem | null;
  setValue: (value: T) => void;
  reload: () => void;
}

/** Asks the server once when the section appears. */
export function useLoaded<T>(load: () => Promise<T>): Loaded<T> {
  const [value, setValue] = useState<T | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const reload = () => {
    setProblem(null);
    load().then(setValue, (thrown: unknown) => setProblem(problemOf(thrown)));
  };
  useEffect(reload, []);
  return { value, problem, setValue, reload };
}

export function LoadNote({ loaded }: { loaded: { value: unknown; problem: Problem | null; reload: () => void } }) {
  if (loaded.problem) {
    return (
      <ProblemNote problem={loaded.problem}>
        <button type="button" class="button" onClick={loaded.reload}>
          Try again
        </button>
      </ProblemNote>
    );
  }
  return loaded.value === null ? <p class="quiet">Loading…</p> : null;
}

export function formatDay(time: string | null): string {
  return time === null ? "never" : new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" });
}
