// The line on top of every page: the way to the sidebar, and what is shown.
import type { ComponentChildren } from "preact";
import { setSidebar, sidebarOpen } from "../state/preferences.ts";
import { navigate } from "../state/route.ts";
import { IconButton } from "./parts.tsx";

export function PageHeader({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <header class="page-header">
      {!sidebarOpen.value && (
        <>
          <IconButton icon="sidebar" label="Show sidebar" expanded={false} onClick={() => setSidebar(true)} />
          <IconButton icon="compose" label="New chat" onClick={() => navigate({ name: "new" })} />
        </>
      )}
      <h1>{title}</h1>
      {children}
    </header>
  );
}
