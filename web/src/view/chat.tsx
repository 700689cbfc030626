// The chat page: a conversation or the beginning of one, and the composer below it.
import { useEffect } from "preact/hooks";
import { chatProblem, chatState, conversation, messages, reload } from "../state/chat.ts";
import { addText } from "../state/composer.ts";
import { onlyBuiltIn } from "../state/models.ts";
import { isNarrow } from "../state/preferences.ts";
import { followLink, navigate, route } from "../state/route.ts";
import { NEW, pending, recoverUnconfirmed } from "../state/sending.ts";
import { isAdmin, user } from "../state/session.ts";
import { Composer } from "./composer.tsx";
import { Mark } from "./icons.tsx";
import { PageHeader } from "./page-header.tsx";
import { ProblemNote } from "./parts.tsx";
import { Thread } from "./thread.tsx";

export function ChatPage() {
  const state = chatState.value;
  const key = route.value.name === "conversation" ? route.value.id : NEW;
  const isUsable = state === "ready" || state === "new";
  useEffect(() => {
    if (isUsable) addText(key, recoverUnconfirmed(key, [...messages.peek().values()]));
  }, [key, isUsable]);
  const title = conversation.value?.title || (state === "new" ? "" : "Conversation");
  return (
    <>
      <PageHeader title={title} />
      <div class="chat">
        <ChatBody chatKey={key} />
        {isUsable && (
          <div class="composer-frame">
            <Composer key={key} composerKey={key} focus={!isNarrow.value} />
            <p class="fine-print">Models make mistakes. Check what matters.</p>
          </div>
        )}
      </div>
    </>
  );
}

function ChatBody({ chatKey }: { chatKey: string }) {
  switch (chatState.value) {
    case "loading":
      return <div class="loading" role="status" aria-label="Loading conversation" />;
    case "missing":
      return (
        <div class="empty">
          <h2>This conversation is not here</h2>
          <p>It may have been deleted, or it belongs to another account.</p>
          <button type="button" class="button primary" onClick={() => navigate({ name: "new" })}>
            Start a new chat
          </button>
        </div>
      );
    case "failed":
      return (
        <div class="empty">
          {chatProblem.value && (
            <ProblemNote problem={chatProblem.value}>
              <button type="button" class="button" onClick={() => void reload()}>
                Try again
              </button>
            </ProblemNote>
          )}
        </div>
      );
    case "new":
      if (!pending.value.has(NEW)) return <Welcome />;
      break;
    case "ready":
      break;
  }
  return <Thread key={chatKey} chatKey={chatKey} />;
}

function Welcome() {
  const name = user.value?.name.split(" ")[0];
  return (
    <div class="empty welcome">
      <Mark size={44} />
      <h2>{name ? `Hello, ${name}. What is on your mind?` : "What is on your mind?"}</h2>
      {onlyBuiltIn.value && (
        <div class="hint" data-testid="only-built-in">
          <p>
            Only the built-in demonstration answers so far. It shows how Parley works, but it is not a language
            model.
          </p>
          {isAdmin.value ? (
            <p>
              Start Ollama on this machine, or{" "}
              <a href="/settings" onClick={(event) => followLink(event, { name: "settings" })}>
                add a provider
              </a>{" "}
              with its API key.
            </p>
          ) : (
            <p>Ask your administrator to connect a provider.</p>
          )}
        </div>
      )}
    </div>
  );
}
