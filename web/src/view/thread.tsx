// The open conversation: its messages, scrolled the way a reader expects, and what is on its way.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Message } from "../protocol.ts";
import { path } from "../state/chat.ts";
import { connection } from "../state/connection.ts";
import { pending, retry, takeBack, type Pending } from "../state/sending.ts";
import { Icon } from "./icons.tsx";
import { MessageView } from "./message.tsx";
import { ProblemNote } from "./parts.tsx";
import { Pictures } from "./pictures.tsx";

/** This near to the end counts as being there. */
const END_MARGIN = 60;

/** `chatKey` names the conversation, or NEW, for what is on its way. */
export function Thread({ chatKey }: { chatKey: string }) {
  const outgoing = pending.value.get(chatKey) ?? null;
  const shown = messagesBefore(path.value, outgoing);
  const { frame, content, atEnd, onScroll, toEnd } = useFollowedEnd(outgoing);
  return (
    <div class="thread-frame">
      <div class="thread" ref={frame} onScroll={onScroll} tabIndex={0} role="region" aria-label="Conversation">
        <div class="thread-content" ref={content} role="log" aria-live="polite">
          {shown.map((message, index) => (
            <MessageView key={message.id} message={message} isLast={outgoing === null && index === shown.length - 1} />
          ))}
          {outgoing && <PendingMessage entry={outgoing} chatKey={chatKey} />}
        </div>
      </div>
      {!atEnd && (
        <button type="button" class="jump-to-end" aria-label="Jump to end" title="Jump to end" onClick={toEnd}>
          <Icon name="down" />
        </button>
      )}
    </div>
  );
}

/** A message on its way hangs below its parent; what another branch has there is not shown beside it. */
function messagesBefore(messages: Message[], outgoing: Pending | null): Message[] {
  if (outgoing === null) return messages;
  if (outgoing.parentId === null) return [];
  const parent = messages.findIndex((message) => message.id === outgoing.parentId);
  return parent < 0 ? messages : messages.slice(0, parent + 1);
}

/** Keeps the end in sight while content grows, until the reader scrolls up. */
function useFollowedEnd(outgoing: Pending | null) {
  const frame = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const lastTop = useRef(0);
  const [atEnd, setAtEnd] = useState(true);

  const scrollToEnd = () => {
    const element = frame.current;
    if (element) element.scrollTop = element.scrollHeight;
  };
  const onScroll = () => {
    const element = frame.current;
    if (!element) return;
    const distance = element.scrollHeight - element.scrollTop - element.clientHeight;
    // Only moving up is the reader's doing; growing content moves the end, not the position.
    if (distance <= END_MARGIN) following.current = true;
    else if (element.scrollTop < lastTop.current - 1) following.current = false;
    lastTop.current = element.scrollTop;
    setAtEnd(distance <= END_MARGIN || following.current);
  };
  const toEnd = () => {
    following.current = true;
    scrollToEnd();
    setAtEnd(true);
  };

  useLayoutEffect(scrollToEnd, []);
  useEffect(() => {
    if (outgoing) toEnd();
  }, [outgoing]);
  useEffect(() => {
    if (!content.current || !frame.current) return;
    const observer = new ResizeObserver(() => following.current && scrollToEnd());
    observer.observe(content.current);
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  return { frame, content, atEnd, onScroll, toEnd };
}

function PendingMessage({ entry, chatKey }: { entry: Pending; chatKey: string }) {
  return (
    <article
      class="message message-user is-pending"
      aria-label="Your message, not yet sent"
      data-testid="message-pending"
      data-status={entry.status}
    >
      <Pictures images={entry.images} />
      {entry.text !== "" && <div class="bubble">{entry.text}</div>}
      {entry.problem ? (
        <ProblemNote problem={entry.problem}>
          <button type="button" class="button" onClick={() => void retry(chatKey)}>
            Try again
          </button>
          <button type="button" class="button" onClick={() => takeBack(chatKey)}>
            Edit
          </button>
        </ProblemNote>
      ) : (
        <div class="sending">
          {connection.value === "open" ? (
            "Sending…"
          ) : (
            <>
              Waiting for the connection…
              <button type="button" class="text-button" onClick={() => takeBack(chatKey)}>
                Take back
              </button>
            </>
          )}
        </div>
      )}
    </article>
  );
}
