// A model's answer: reasoning, text, tool calls, and below them how it ended.
import type { ComponentChildren } from "preact";
import { textOf } from "../model/content.ts";
import { answerProblem, endNote, formatArguments, formatUsage } from "../model/answer-notes.ts";
import { jointPlaces, storyLine } from "../model/story.ts";
import type { Message, Part, TextPart, ToolCallPart } from "../protocol.ts";
import { activeRunId, askAgain } from "../state/chat.ts";
import { modelName } from "../state/models.ts";
import { Icon } from "./icons.tsx";
import { Markdown } from "./markdown.tsx";
import { CopyButton, ProblemNote } from "./parts.tsx";
import { Pictures } from "./pictures.tsx";

interface AnswerProps {
  message: Message;
  isLast: boolean;
  /** Further actions in the row below the answer. */
  children: ComponentChildren;
}

export function Answer({ message, isLast, children }: AnswerProps) {
  const streaming = message.status === "streaming";
  const lastPart = message.content.length - 1;
  return (
    <article
      class={`message message-answer ${isLast ? "is-last" : ""}`}
      aria-label={`Answer from ${modelName(message.model)}`}
      aria-busy={streaming}
      data-testid="message-answer"
      data-status={message.status}
      data-message={message.id}
    >
      {message.content.map((part, index) => (
        <AnswerPart key={index} part={part} growing={streaming && index === lastPart} />
      ))}
      {streaming && message.content.length === 0 && <Thinking />}
      <Story message={message} />
      <Ending message={message} isLast={isLast} />
      {!streaming && (
        <div class="actions" role="group" aria-label="Answer actions">
          {textOf(message.content) !== "" && <CopyButton text={() => textOf(message.content)} label="Copy answer" />}
          {children}
          <Footnote message={message} />
        </div>
      )}
    </article>
  );
}

function AnswerPart({ part, growing }: { part: Part; growing: boolean }) {
  switch (part.type) {
    case "text":
      return <Markdown text={part.text} growing={growing} />;
    case "reasoning":
      return <Reasoning part={part} growing={growing} />;
    case "refusal":
      return <p class="refusal">{part.text}</p>;
    case "tool_call":
      return <ToolCall part={part} />;
    case "image":
      return <Pictures images={[part]} />;
    default:
      return null;
  }
}

function Thinking() {
  return (
    <div class="thinking" aria-label="Waiting for the answer">
      <span />
      <span />
      <span />
    </div>
  );
}

function Reasoning({ part, growing }: { part: TextPart; growing: boolean }) {
  return (
    <details class="reasoning" data-testid="reasoning">
      <summary class={growing ? "is-growing" : undefined}>
        <Icon name="chevron" size={16} />
        {growing ? "Reasoning…" : "Reasoning"}
      </summary>
      <div class="reasoning-text">
        <Markdown text={part.text} growing={growing} />
      </div>
    </details>
  );
}

function ToolCall({ part }: { part: ToolCallPart }) {
  return (
    <details class="tool-call" data-testid="tool-call">
      <summary>
        <Icon name="tool" size={16} />
        Wants to use the tool <code>{part.name}</code>
      </summary>
      <pre tabIndex={0}>
        <code>{formatArguments(part.arguments)}</code>
      </pre>
    </details>
  );
}

/** Who answered in whose place; pointing at it shows where in the text the one took over. */
function Story({ message }: { message: Message }) {
  const line = storyLine(message);
  if (line === null) return null;
  const places = message.status === "streaming" ? [] : jointPlaces(message);
  return (
    <p
      class="story"
      data-testid="story"
      role={message.status === "streaming" ? "status" : undefined}
      title={places.length > 0 ? `Joined ${places.join(", then ")}` : undefined}
    >
      {line}
    </p>
  );
}

/** Why the answer is not whole, and the way on. */
function Ending({ message, isLast }: { message: Message; isLast: boolean }) {
  const problem = answerProblem(message);
  const note = endNote(message);
  if (problem === null && note === null) return null;
  const buttons = isLast && <EndingButtons message={message} />;
  if (problem !== null) return <ProblemNote problem={problem}>{buttons}</ProblemNote>;
  return (
    <div class="end-note" data-testid="end-note">
      <span>{note}</span>
      {buttons}
    </div>
  );
}

function EndingButtons({ message }: { message: Message }) {
  const busy = activeRunId.value !== null;
  const { id, parent_id: parentId } = message;
  const hasContent = message.content.length > 0;
  return (
    <>
      {hasContent && (message.status !== "complete" || message.finish === "length") && (
        <button type="button" class="button" disabled={busy} onClick={() => void askAgain("continue", id)}>
          Continue
        </button>
      )}
      {(message.status === "failed" || !hasContent) && parentId !== null && (
        <button type="button" class="button" disabled={busy} onClick={() => void askAgain("answer", parentId)}>
          Try again
        </button>
      )}
    </>
  );
}

function Footnote({ message }: { message: Message }) {
  const usage = formatUsage(message.usage);
  return (
    <span class="footnote" data-testid="answer-footnote" title={message.model}>
      {modelName(message.model)}
      {usage !== null && <span title={usage.detail}> · {usage.summary}</span>}
    </span>
  );
}
