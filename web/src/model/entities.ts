// Markdown text may hold HTML entities ("&amp;", "&#39;"). We render text, never HTML, so they are
// decoded here. The named ones a browser knows come from the browser itself, by a textarea: its
// content is text to the HTML parser, so nothing in it can ever run.
const ENTITY = /&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});/g;

const known = new Map<string, string>([
  ["&amp;", "&"],
  ["&lt;", "<"],
  ["&gt;", ">"],
  ["&quot;", '"'],
  ["&nbsp;", "\u00a0"],
]);

export function decodeEntities(text: string): string {
  return text.includes("&") ? text.replace(ENTITY, decodeOne) : text;
}

function decodeOne(entity: string): string {
  const found = known.get(entity);
  if (found !== undefined) return found;
  if (entity.startsWith("&#")) return decodeNumber(entity.slice(2, -1));
  if (typeof document === "undefined") return entity;
  const textarea = document.createElement("textarea");
  textarea.innerHTML = entity;
  known.set(entity, textarea.value);
  return textarea.value;
}

function decodeNumber(digits: string): string {
  const hexadecimal = /^[xX]/.test(digits);
  const code = hexadecimal ? Number.parseInt(digits.slice(1), 16) : Number.parseInt(digits, 10);
  const isCharacter = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return isCharacter ? String.fromCodePoint(code) : "\ufffd";
}
