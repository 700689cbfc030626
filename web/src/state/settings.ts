// Parley's settings, for an administrator.
import { signal } from "@preact/signals";
import { api, problemOf } from "../net/api.ts";
import type { Problem, Setting } from "../protocol.ts";

export const settings = signal<readonly Setting[] | null>(null);
export const settingsProblem = signal<Problem | null>(null);

export function forgetSettings(): void {
  settings.value = null;
}

export async function loadSettings(): Promise<void> {
  settingsProblem.value = null;
  try {
    settings.value = (await api.settings()).settings;
  } catch (thrown) {
    settingsProblem.value = problemOf(thrown);
  }
}

/** null goes back to the default. Throws what the server has against it. */
export async function changeSettings(changes: Record<string, Setting["value"]>): Promise<void> {
  settings.value = (await api.changeSettings(changes)).settings;
}
