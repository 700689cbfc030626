// One answer being written: the pure reducer from the events of a run to the message shown.
// Everything that streams into the page goes through `applyEvent`, so that duplicates after a
// reconnect and gaps are handled in one place.
import type { Message, Part, RouteStory, RunEvent, ToolCallPart } from "../protocol.ts";
import { byteLength, firstBytes } from "./utf8.ts";

export interface RunState {
  readonly runId: string;
  /** The last sequence number that is in `message`; attach after this one. */
  readonly seq: number;
  readonly message: Message;
  /** Events are missing between `seq` and what came last: attach again. */
  readonly gap: boolean;
  /** `saved` has come: the run is over and will say nothing more. */
  readonly done: boolean;
  /** Where in `message.content` the tool call of this index stands. */
  readonly toolPositions: Readonly<Record<number, number>>;
}

/** `message.content` is what the answer held before event 1 (what a continued answer goes on from). */
export function startRun(runId: string, message: Message): RunState {
  return { runId, seq: 0, message, gap: false, done: false, toolPositions: {} };
}

export function applyEvent(state: RunState, seq: number, event: RunEvent): RunState {
  if (seq <= state.seq || state.done) return state;
  const replacesAll = event.type === "snapshot" || event.type === "saved";
  if (seq > state.seq + 1 && !replacesAll) return state.gap ? state : { ...state, gap: true };
  return applyInOrder({ ...state, seq, gap: false }, event);
}

function applyInOrder(state: RunState, event: RunEvent): RunState {
  switch (event.type) {
    case "start":
      return withMessage(state, { model: event.model });
    case "text":
    case "reasoning":
    case "refusal":
      return withMessage(state, { content: appendText(state.message.content, event.type, event.text) });
    case "tool_start":
      return startTool(state, event.index, event.id, event.name);
    case "tool_arguments":
      return appendArguments(state, event.index, event.text);
    case "usage":
      return withMessage(state, { usage: event.usage });
    case "rewind":
      return rewind(state, event.text_bytes);
    case "route":
      return withMessage(state, { route: event.route, model: whoShows(state.message, event.route) });
    case "finish":
      return withMessage(state, { status: event.status, finish: event.finish, error: event.error });
    case "snapshot":
      return { ...state, message: event.message, toolPositions: locateTools(event.message.content) };
    case "saved":
      return { ...state, message: event.message, done: true };
    default:
      // A newer server may say more than we know; its sequence number counts all the same.
      return state;
  }
}

function withMessage(state: RunState, change: Partial<Message>): RunState {
  return { ...state, message: { ...state.message, ...change } };
}

function appendText(content: Part[], type: "text" | "reasoning" | "refusal", text: string): Part[] {
  const last = content.at(-1);
  if (last?.type === type) return [...content.slice(0, -1), { type, text: last.text + text }];
  return [...content, { type, text }];
}

/** Only the first so many bytes of the text stay; what came behind them, of any kind, goes. */
function rewind(state: RunState, textBytes: number): RunState {
  let left = textBytes;
  for (const [position, part] of state.message.content.entries()) {
    if (part.type !== "text") continue;
    const length = byteLength(part.text);
    if (length >= left) {
      const cut: Part = { ...part, text: firstBytes(part.text, left) };
      const content = [...state.message.content.slice(0, position), cut];
      const tools = Object.entries(state.toolPositions).filter(([, at]) => at <= position);
      return { ...withMessage(state, { content }), toolPositions: Object.fromEntries(tools) };
    }
    left -= length;
  }
  return state;
}

/** Who is asked has said nothing yet: the answer is its own once it is joined (else `start` says). */
function whoShows(message: Message, story: RouteStory): string {
  return story.joints.length > (message.route?.joints.length ?? 0) ? story.target : message.model;
}

function startTool(state: RunState, index: number, id: string, name: string): RunState {
  const content: Part[] = [...state.message.content, { type: "tool_call", id, name, arguments: "" }];
  const toolPositions = { ...state.toolPositions, [index]: content.length - 1 };
  return { ...withMessage(state, { content }), toolPositions };
}

function appendArguments(state: RunState, index: number, text: string): RunState {
  const position = state.toolPositions[index];
  const call = position === undefined ? undefined : state.message.content[position];
  if (position === undefined || call?.type !== "tool_call") return state;
  const longer: ToolCallPart = { ...call, arguments: call.arguments + text };
  return withMessage(state, { content: state.message.content.with(position, longer) });
}

function locateTools(content: Part[]): Record<number, number> {
  const positions: Record<number, number> = {};
  let index = 0;
  content.forEach((part, position) => {
    if (part.type === "tool_call") positions[index++] = position;
  });
  return positions;
}
