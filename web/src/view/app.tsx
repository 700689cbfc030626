// Decides which page is shown, and frames those of someone signed in.
import { useEffect, useState } from "preact/hooks";
import { connection, reconnectNow } from "../state/connection.ts";
import { activeRunId } from "../state/chat.ts";
import { helpNeeded } from "../model/targets.ts";
import { followLink, route } from "../state/route.ts";
import { session, sessionProblem } from "../state/session.ts";
import { helplessTargets } from "../state/targets.ts";
import { hideToast, toasts } from "../state/toasts.ts";
import { ChatPage } from "./chat.tsx";
import { SetupPage, SignInPage, UnreachablePage } from "./entry.tsx";
import { IconButton } from "./parts.tsx";
import { SettingsPage } from "./settings.tsx";
import { Sidebar } from "./sidebar.tsx";

export function App() {
  if (session.value === null) {
    return sessionProblem.value ? <UnreachablePage problem={sessionProblem.value} /> : <div class="splash" />;
  }
  const current = route.value;
  if (session.value.user === null) {
    const token = current.name === "setup" ? current.token : "";
    return session.value.setup_required ? <SetupPage token={token} /> : <SignInPage />;
  }
  return (
    <div class="shell">
      <Sidebar />
      <main class="page">
        <ConnectionNote />
        {current.name !== "settings" && <TargetsNote />}
        {current.name === "settings" ? <SettingsPage /> : <ChatPage />}
        <AnswerAnnouncer />
      </main>
      <Toasts />
    </div>
  );
}

/** A connection that is back within this time was never worth a word. */
const QUIET_MS = 1500;

function ConnectionNote() {
  const away = connection.value !== "open";
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!away) {
      setShown(false);
      return;
    }
    const timer = setTimeout(() => setShown(true), QUIET_MS);
    return () => clearTimeout(timer);
  }, [away]);
  return (
    <div role="status" data-testid="connection" data-state={connection.value}>
      {away && shown && (
        <div class="connection-note">
          <span>Reconnecting… What you write is kept.</span>
          <button type="button" class="text-button" onClick={reconnectNow}>
            Try now
          </button>
        </div>
      )}
    </div>
  );
}

/** For an administrator: what only they can mend. */
function TargetsNote() {
  const [first, ...others] = helplessTargets.value;
  if (!first) return null;
  const more = ["", " So is 1 more."][others.length] ?? ` So are ${others.length} more.`;
  return (
    <div class="targets-note" role="status" data-testid="targets-note">
      <span>
        {first.id} is taken out: {helpNeeded(first)}.{more}
      </span>
      <a href="/settings" onClick={(event) => followLink(event, { name: "settings" })}>
        See targets
      </a>
    </div>
  );
}

/** Tells someone who listens that an answer began and ended; its text is read from the log. */
function AnswerAnnouncer() {
  const [text, setText] = useState("");
  const answering = activeRunId.value !== null;
  useEffect(() => {
    if (!answering) return;
    setText("The answer is being written.");
    return () => setText("The answer is finished.");
  }, [answering]);
  return (
    <div class="visually-hidden" role="status">
      {text}
    </div>
  );
}

function Toasts() {
  return (
    <div class="toasts" role="status">
      {toasts.value.map((toast) => (
        <div key={toast.id} class={`toast ${toast.kind === "error" ? "is-error" : ""}`} data-testid="toast">
          <span>{toast.text}</span>
          {toast.action && (
            <button type="button" class="text-button" onClick={toast.action.run}>
              {toast.action.label}
            </button>
          )}
          <IconButton icon="close" label="Dismiss notice" onClick={() => hideToast(toast.id)} />
        </div>
      ))}
    </div>
  );
}
