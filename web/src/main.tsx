// Where the app starts: wires the state to the server and the address, and draws the page.
import { effect } from "@preact/signals";
import { render } from "preact";
import { whenSignedOut } from "./net/api.ts";
import { conversation, openConversation, openNew, watchChat } from "./state/chat.ts";
import { claimComposers } from "./state/composer.ts";
import { connect, disconnect, watchNetwork } from "./state/connection.ts";
import { forgetConversations, refreshConversations, watchLeaving } from "./state/conversations.ts";
import { loadModels } from "./state/models.ts";
import { navigate, route, watchHistory } from "./state/route.ts";
import { forgetRuns } from "./state/runs.ts";
import { forgetPending } from "./state/sending.ts";
import { forgetUser, isAdmin, loadSession, session, user, watchOtherTabs } from "./state/session.ts";
import { forgetSettings } from "./state/settings.ts";
import { forgetTargets, loadTargets } from "./state/targets.ts";
import { App } from "./view/app.tsx";

function enter(userId: string): void {
  claimComposers(userId);
  connect();
  void refreshConversations();
  void loadModels();
  if (isAdmin.peek()) void loadTargets();
  const { name } = route.peek();
  if (name === "signin" || name === "setup") navigate({ name: "new" }, "replace");
}

/** Whoever signs in next in this browser must not see what the last one left on the page. */
function leave(): void {
  disconnect();
  forgetRuns();
  forgetPending();
  forgetConversations();
  forgetSettings();
  forgetTargets();
  openNew();
}

function showRoute(): void {
  const to = route.value;
  if (user.value === null) return;
  if (to.name === "conversation") void openConversation(to.id);
  if (to.name === "new") openNew();
}

let enteredAs: string | null = null;

effect(() => {
  if (session.value === null) return;
  const id = user.value?.id ?? null;
  if (id === enteredAs) return;
  if (enteredAs !== null || id === null) leave();
  enteredAs = id;
  if (id !== null) enter(id);
});
effect(showRoute);
effect(() => {
  const title = conversation.value?.title;
  document.title = title ? `${title} · Parley` : "Parley";
});

whenSignedOut(forgetUser);
watchHistory();
watchNetwork();
watchLeaving();
watchChat();
watchOtherTabs();
void loadSession();

const root = document.getElementById("app");
if (root) render(<App />, root);
