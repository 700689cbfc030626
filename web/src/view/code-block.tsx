// A block of code: its language, a copy button, and colours once the highlighter has been loaded.
import { useEffect, useRef, useState } from "preact/hooks";
import { CopyButton } from "./parts.tsx";

/** Colouring runs over the whole block, so while it grows this often is enough. */
const GROWING_DELAY_MS = 250;
/** Beyond this the colours cost more than they help. */
const HIGHLIGHT_CHARACTERS_MAX = 100_000;

interface CodeBlockProps {
  code: string;
  language: string;
  growing: boolean;
}

export function CodeBlock({ code, language, growing }: CodeBlockProps) {
  const name = language.trim().split(/\s/)[0] ?? "";
  const highlighted = useHighlighted(code, name, growing);
  return (
    <figure class="code-block">
      <figcaption>
        <span>{name || "text"}</span>
        <CopyButton text={() => code} label="Copy code">
          Copy
        </CopyButton>
      </figcaption>
      <pre tabIndex={0}>
        {highlighted === null ? <code>{code}</code> : <HighlightedCode html={highlighted.html} rest={highlighted.rest} />}
      </pre>
    </figure>
  );
}

/** `html` comes from the highlighter, which escapes the code and has its output sanitised. */
function HighlightedCode({ html, rest }: { html: string; rest: string }) {
  return (
    <code>
      <span dangerouslySetInnerHTML={{ __html: html }} />
      {rest}
    </code>
  );
}

/** What has been coloured, and what has come since and still stands plain behind it. */
function useHighlighted(code: string, language: string, growing: boolean): { html: string; rest: string } | null {
  const [coloured, setColoured] = useState<{ code: string; html: string } | null>(null);
  const latest = useRef(code);
  latest.current = code;
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    if (language === "" || code.length > HIGHLIGHT_CHARACTERS_MAX || timer.current !== undefined) return;
    const run = async () => {
      const { highlight } = await import("../highlight.ts");
      timer.current = undefined;
      const html = highlight(latest.current, language);
      setColoured(html === null ? null : { code: latest.current, html });
    };
    timer.current = setTimeout(() => void run(), growing ? GROWING_DELAY_MS : 0);
  }, [code, language, growing]);
  useEffect(() => () => clearTimeout(timer.current), []);
  if (coloured === null || !code.startsWith(coloured.code)) return null;
  return { html: coloured.html, rest: code.slice(coloured.code.length) };
}
