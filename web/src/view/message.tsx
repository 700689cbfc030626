// One message of the thread: what a person wrote, or what a model answered.
import { useState } from "preact/hooks";
import { imagesOf, textOf } from "../model/content.ts";
import { siblingsOf } from "../model/tree.ts";
import type { Message } from "../protocol.ts";
import { activeRunId, askAgain, chosenModel, conversation, messages, showBranch } from "../state/chat.ts";
import { addText, composerFor } from "../state/composer.ts";
import { live } from "../state/runs.ts";
import { send } from "../state/sending.ts";
import { Answer } from "./answer.tsx";
import { MessageEditor } from "./message-editor.tsx";
import { CopyButton, IconButton } from "./parts.tsx";
import { Pictures } from "./pictures.tsx";

export function MessageView({ message, isLast }: { message: Message; isLast: boolean }) {
  // A streaming answer is read from its run, so that only this component draws when words arrive.
  const current = live.value.get(message.id)?.value ?? message;
  if (current.role === "user") return <UserMessage message={current} />;
  return (
    <Answer message={current} isLast={isLast}>
      <BranchSwitch message={current} />
      <IconButton
        icon="again"
        label="Regenerate answer"
        disabled={activeRunId.value !== null || current.parent_id === null}
        onClick={() => current.parent_id !== null && void askAgain("answer", current.parent_id)}
      />
    </Answer>
  );
}

function UserMessage({ message }: { message: Message }) {
  const [editing, setEditing] = useState(false);
  const text = textOf(message.content);
  const draftKey = `edit:${message.id}`;
  const startEditing = () => {
    if (composerFor(draftKey).text.value === "") addText(draftKey, text);
    setEditing(true);
  };
  const sendEdited = (edited: string) => {
    setEditing(false);
    void send({
      conversationId: message.conversation_id,
      parentId: message.parent_id,
      text: edited,
      images: imagesOf(message.content),
      model: chosenModel.value,
      draftKey,
    });
  };
  return (
    <article class="message message-user" aria-label="Your message" data-testid="message-user" data-message={message.id}>
      <Pictures images={imagesOf(message.content)} />
      {editing ? (
        <MessageEditor draftKey={draftKey} onSend={sendEdited} onCancel={() => setEditing(false)} />
      ) : (
        text !== "" && <div class="bubble">{text}</div>
      )}
      {!editing && (
        <div class="actions" role="group" aria-label="Message actions">
          <BranchSwitch message={message} />
          <CopyButton text={() => text} label="Copy message" />
          <IconButton icon="edit" label="Edit message" disabled={activeRunId.value !== null} onClick={startEditing} />
        </div>
      )}
    </article>
  );
}

/** "< 2/3 >" where a message has others beside it. */
function BranchSwitch({ message }: { message: Message }) {
  if (conversation.value?.id !== message.conversation_id) return null;
  const siblings = siblingsOf(messages.value, message);
  if (siblings.length < 2) return null;
  const position = siblings.findIndex(({ id }) => id === message.id);
  const show = (offset: number) => {
    const target = siblings[position + offset];
    if (target) showBranch(target.id);
  };
  return (
    <div class="branches" role="group" aria-label="Versions">
      <IconButton icon="left" label="Previous version" disabled={position === 0} onClick={() => show(-1)} />
      <span data-testid="branch-position" aria-label={`Version ${position + 1} of ${siblings.length}`}>
        {position + 1}/{siblings.length}
      </span>
      <IconButton icon="right" label="Next version" disabled={position === siblings.length - 1} onClick={() => show(1)} />
    </div>
  );
}
