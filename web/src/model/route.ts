// The addresses of the app. The server answers all of them with index.html.
export type Route =
  | { name: "new" }
  | { name: "conversation"; id: string }
  | { name: "settings" }
  | { name: "setup"; token: string }
  | { name: "signin" };

export function parseRoute(path: string, search: string): Route {
  const conversation = /^\/c\/([0-9a-z]{1,64})\/?$/.exec(path);
  if (conversation?.[1]) return { name: "conversation", id: conversation[1] };
  if (path === "/settings") return { name: "settings" };
  if (path === "/setup") return { name: "setup", token: new URLSearchParams(search).get("token") ?? "" };
  if (path === "/signin") return { name: "signin" };
  return { name: "new" };
}

export function routePath(route: Route): string {
  switch (route.name) {
    case "conversation":
      return `/c/${route.id}`;
    case "new":
      return "/";
    default:
      return `/${route.name}`;
  }
}
