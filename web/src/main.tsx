// Where the app starts: wires the state to the server and the address, and draws the page.
import { effect } from "@preact/signals";
import { render } from "preact";
import { whenSignedOut } from "./net/api.ts";
import { conversation, openConversation, openNew, watchChat } from "./state/chat.ts";
import { connect, disconnect, watchNetwork } from "./state/connection.ts";
import { forgetConversations, refreshConversations, watchLeaving } from "./state/conversations.ts";
import { loadModels } from "./state/models.ts";
import { navigate, route, watchHistory } from "./state/route.ts";
import { forgetRuns } from "./state/runs.ts";
import { forgetUser, loadSession, session, user } from "./state/session.ts";
import { App } from "./view/app.tsx";

function enter(): void {
  connect();
  void refreshConversations();
  void loadModels();
  const { name } = route.peek();
  if (name === "signin" || name === "setup") navigate({ name: "new" }, "replace");
}

/** Whoever signs in next in this browser must not see what the last one left on the page. */
function leave(): void {
  disconnect();
  forgetRuns();
  forgetConversations();
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
  enteredAs = id;
  if (id === null) leave();
  else enter();
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
void loadSession();

const root = document.getElementById("app");
if (root) render(<App />, root);
