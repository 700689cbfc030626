// What this browser remembers for itself: the theme, the model last used, the sidebar.
import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

/** Storage may be forbidden; a preference is then simply not remembered. */
function read(key: string): string {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    return;
  }
}

const THEME_KEY = "parley.theme"; // also read by theme.ts, before the first paint
const MODEL_KEY = "parley.model";
const SIDEBAR_KEY = "parley.sidebar";

function readTheme(): Theme {
  const stored = read(THEME_KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

export const theme = signal<Theme>(readTheme());

export function setTheme(next: Theme): void {
  theme.value = next;
  write(THEME_KEY, next);
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
}

export const lastModel = signal(read(MODEL_KEY));

export function rememberModel(id: string): void {
  lastModel.value = id;
  write(MODEL_KEY, id);
}

const narrow = matchMedia("(max-width: 800px)");

/** A narrow screen starts without the sidebar, a wide one as it was left. */
export const sidebarOpen = signal(!narrow.matches && read(SIDEBAR_KEY) !== "closed");
export const isNarrow = signal(narrow.matches);

narrow.addEventListener("change", () => {
  isNarrow.value = narrow.matches;
  sidebarOpen.value = !narrow.matches && read(SIDEBAR_KEY) !== "closed";
});

export function setSidebar(open: boolean): void {
  sidebarOpen.value = open;
  if (!narrow.matches) write(SIDEBAR_KEY, open ? "open" : "closed");
}

/** On a narrow screen the sidebar covers the page, so choosing something in it closes it. */
export function leaveSidebar(): void {
  if (narrow.matches) sidebarOpen.value = false;
}
