// The list of conversations, and what belongs to the person: settings, theme, sign-out.
import { useEffect, useRef } from "preact/hooks";
import { groupByDay } from "../model/days.ts";
import { conversations, listState, loadMoreConversations, refreshConversations } from "../state/conversations.ts";
import { isNarrow, leaveSidebar, setSidebar, setTheme, sidebarOpen, theme, type Theme } from "../state/preferences.ts";
import { followLink, navigate, route } from "../state/route.ts";
import { signOut, user } from "../state/session.ts";
import { showProblem } from "../state/toasts.ts";
import { ConversationRow } from "./conversation-row.tsx";
import { Icon, Mark, type IconName } from "./icons.tsx";
import { IconButton } from "./parts.tsx";

export function Sidebar() {
  const open = sidebarOpen.value;
  return (
    <>
      {open && isNarrow.value && <div class="scrim" onClick={() => setSidebar(false)} />}
      <nav
        class={`sidebar ${open ? "" : "is-closed"}`}
        aria-label="Conversations"
        inert={!open}
        onKeyDown={(event) => {
          if (event.key !== "Escape" || event.defaultPrevented || !isNarrow.value) return;
          event.preventDefault();
          setSidebar(false);
        }}
      >
        <div class="sidebar-head">
          <a
            class="brand"
            href="/"
            aria-label="Parley, new chat"
            onClick={(event) => {
              followLink(event, { name: "new" });
              leaveSidebar();
            }}
          >
            <Mark />
            <span>Parley</span>
          </a>
          <IconButton icon="sidebar" label="Hide sidebar" expanded onClick={() => setSidebar(false)} />
        </div>
        <button
          type="button"
          class="new-chat"
          onClick={() => {
            navigate({ name: "new" });
            leaveSidebar();
          }}
        >
          <Icon name="compose" />
          New chat
        </button>
        <ConversationList />
        <SidebarFoot />
      </nav>
    </>
  );
}

function ConversationList() {
  const groups = groupByDay(conversations.value, new Date());
  const shown = route.value.name === "conversation" ? route.value.id : null;
  return (
    <div class="conversation-list">
      {groups.map((group) => (
        <section key={group.label} aria-label={group.label}>
          <h2>{group.label}</h2>
          <ul>
            {group.conversations.map((conversation) => (
              <ConversationRow key={conversation.id} conversation={conversation} isShown={conversation.id === shown} />
            ))}
          </ul>
        </section>
      ))}
      <ListEnd />
    </div>
  );
}

function ListEnd() {
  const sentinel = useRef<HTMLDivElement>(null);
  const state = listState.value;
  useEffect(() => {
    if (state !== "more" || !sentinel.current) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) void loadMoreConversations();
    });
    observer.observe(sentinel.current);
    return () => observer.disconnect();
  }, [state]);
  if (state === "failed") {
    return (
      <p class="list-note">
        The list could not be loaded.{" "}
        <button type="button" class="text-button" onClick={() => void refreshConversations()}>
          Try again
        </button>
      </p>
    );
  }
  if (state === "all" && conversations.value.length === 0) {
    return <p class="list-note">Your conversations will be listed here.</p>;
  }
  return (
    <div ref={sentinel} class="list-end" role="status">
      {state === "loading" ? "Loading…" : ""}
    </div>
  );
}

const THEMES: Record<Theme, { next: Theme; icon: IconName; label: string }> = {
  system: { next: "light", icon: "display", label: "Theme: as the system" },
  light: { next: "dark", icon: "sun", label: "Theme: light" },
  dark: { next: "system", icon: "moon", label: "Theme: dark" },
};

function SidebarFoot() {
  const { next, icon, label } = THEMES[theme.value];
  return (
    <div class="sidebar-foot">
      <span class="who" title={user.value?.email}>
        {user.value?.name || user.value?.email}
      </span>
      <IconButton icon={icon} label={label} onClick={() => setTheme(next)} />
      <IconButton
        icon="settings"
        label="Settings"
        onClick={() => {
          navigate({ name: "settings" });
          leaveSidebar();
        }}
      />
      <IconButton icon="leave" label="Sign out" onClick={() => void signOut().catch(showProblem)} />
    </div>
  );
}
