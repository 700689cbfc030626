// Which page is shown, kept in the address by the history API.
import { signal } from "@preact/signals";
import { parseRoute, routePath, type Route } from "../model/route.ts";

const current = () => parseRoute(location.pathname, location.search);

export const route = signal<Route>(current());

export function navigate(to: Route, how: "push" | "replace" = "push"): void {
  const path = routePath(to);
  if (how === "replace") history.replaceState(null, "", path);
  else if (path !== location.pathname) history.pushState(null, "", path);
  route.value = to;
}

/** For links: a plain click stays in the app, with a modifier the browser does what it always does. */
export function followLink(event: MouseEvent, to: Route): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  navigate(to);
}

export function watchHistory(): void {
  addEventListener("popstate", () => (route.value = current()));
}
