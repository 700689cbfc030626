// One conversation in the sidebar; its title can be changed in place.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Conversation } from "../protocol.ts";
import { deleteConversation, renameConversation } from "../state/conversations.ts";
import { leaveSidebar } from "../state/preferences.ts";
import { followLink } from "../state/route.ts";
import { live } from "../state/runs.ts";
import { IconButton } from "./parts.tsx";

export function ConversationRow({ conversation, isShown }: { conversation: Conversation; isShown: boolean }) {
  const [renaming, setRenaming] = useState(false);
  const title = conversation.title || "New conversation";
  const answering = [...live.value.values()].some((message) => message.peek().conversation_id === conversation.id);
  if (renaming) {
    return (
      <li class="conversation-row is-renaming">
        <TitleEditor
          title={conversation.title}
          onDone={(changed) => {
            setRenaming(false);
            if (changed !== null) void renameConversation(conversation.id, changed);
          }}
        />
      </li>
    );
  }
  return (
    <li class={`conversation-row ${isShown ? "is-shown" : ""}`} data-testid="conversation-row">
      <a
        href={`/c/${conversation.id}`}
        title={title}
        aria-current={isShown ? "page" : undefined}
        onClick={(event) => {
          followLink(event, { name: "conversation", id: conversation.id });
          leaveSidebar();
        }}
        onDblClick={() => setRenaming(true)}
      >
        {title}
      </a>
      {answering && <span class="answering" role="img" aria-label="Answering" />}
      <div class="row-actions">
        <IconButton icon="edit" label={`Rename ${title}`} onClick={() => setRenaming(true)} />
        <IconButton icon="trash" label={`Delete ${title}`} onClick={() => deleteConversation(conversation)} />
      </div>
    </li>
  );
}

function TitleEditor({ title, onDone }: { title: string; onDone: (changed: string | null) => void }) {
  const input = useRef<HTMLInputElement>(null);
  // Escape and Enter take the field away, and that blurs it: only the first of them counts.
  const finished = useRef(false);
  useEffect(() => input.current?.select(), []);
  const finish = (keep: boolean) => {
    if (finished.current) return;
    finished.current = true;
    const changed = input.current?.value.trim() ?? "";
    onDone(keep && changed !== "" ? changed : null);
  };
  return (
    <input
      ref={input}
      type="text"
      aria-label="Conversation title"
      defaultValue={title}
      maxLength={200}
      onBlur={() => finish(true)}
      onKeyDown={(event) => {
        if (event.isComposing) return;
        if (event.key === "Enter") finish(true);
        if (event.key === "Escape") {
          event.preventDefault();
          finish(false);
        }
      }}
    />
  );
}
