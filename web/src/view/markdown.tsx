// Draws Markdown tokens as elements. Model output is hostile: no HTML is ever made from it, so
// there is nothing to escape or sanitise. Raw HTML is shown as the text it is, pictures from
// elsewhere become links (loading them would tell their server that they were read).
import type { Token, Tokens } from "marked";
import { Component, type ComponentChildren, type JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { NO_BLOCKS, parseBlocks, parseWhole } from "../model/blocks.ts";
import { decodeEntities } from "../model/entities.ts";
import { safeLink } from "../model/links.ts";
import { CodeBlock } from "./code-block.tsx";

export function Markdown({ text, growing }: { text: string; growing: boolean }) {
  const previous = useRef(NO_BLOCKS);
  const blocks = useMemo(() => (growing ? parseBlocks(previous.current, text) : parseWhole(text)), [text, growing]);
  previous.current = blocks;
  const last = blocks.tokens.length - 1;
  return (
    <div class="markdown">
      {blocks.tokens.map((token, index) => (
        <Block key={index} token={token} growing={growing && index === last} final={!growing} />
      ))}
    </div>
  );
}

interface BlockProps {
  token: Token;
  growing: boolean;
  final: boolean;
}

/** While the text grows settled blocks are not drawn again; only the last one is. */
class Block extends Component<BlockProps> {
  override shouldComponentUpdate(next: BlockProps): boolean {
    const { token, growing, final } = this.props;
    return final !== next.final || growing !== next.growing || (token !== next.token && token.raw !== next.token.raw);
  }

  override render({ token, growing }: BlockProps) {
    return <>{drawBlock(token, growing)}</>;
  }
}

function drawBlock(generic: Token, growing: boolean): ComponentChildren {
  const token = generic as Tokens.Generic;
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "code":
      return <CodeBlock code={(token as Tokens.Code).text} language={token.lang ?? ""} growing={growing} />;
    case "heading":
      return drawHeading(token as Tokens.Heading);
    case "paragraph":
      return <p>{drawInlines(token.tokens)}</p>;
    case "blockquote":
      return <blockquote>{drawBlocks(token.tokens)}</blockquote>;
    case "list":
      return drawList(token as Tokens.List);
    case "table":
      return drawTable(token as Tokens.Table);
    case "hr":
      return <hr />;
    case "html":
      return <p class="raw-html">{token.text.trimEnd()}</p>;
    default:
      return token.tokens ? drawInlines(token.tokens) : drawInline(token);
  }
}

function drawBlocks(tokens: readonly Token[] | undefined): ComponentChildren {
  return tokens?.map((token) => drawBlock(token, false));
}

/** Headings of an answer stand below those of the page. */
function drawHeading(token: Tokens.Heading): ComponentChildren {
  const Level = `h${Math.min(6, token.depth + 2)}` as "h3";
  return <Level class={`heading-${token.depth}`}>{drawInlines(token.tokens)}</Level>;
}

function drawList(token: Tokens.List): ComponentChildren {
  const items = token.items.map((item, index) => (
    <li key={index} class={item.task ? "task" : undefined}>
      {drawBlocks(item.tokens)}
    </li>
  ));
  return token.ordered ? <ol start={token.start === "" ? 1 : token.start}>{items}</ol> : <ul>{items}</ul>;
}

function drawTable(token: Tokens.Table): ComponentChildren {
  const cell = (content: Tokens.TableCell, index: number) => {
    const Tag = content.header ? "th" : "td";
    return (
      <Tag key={index} class={content.align ? `align-${content.align}` : undefined}>
        {drawInlines(content.tokens)}
      </Tag>
    );
  };
  return (
    <div class="table-frame" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>{token.header.map(cell)}</tr>
        </thead>
        <tbody>
          {token.rows.map((row, index) => (
            <tr key={index}>{row.map(cell)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function drawInlines(tokens: readonly Token[] | undefined): ComponentChildren {
  return tokens?.map(drawInline);
}

function drawInline(generic: Token): ComponentChildren {
  const token = generic as Tokens.Generic;
  switch (token.type) {
    case "strong":
      return <strong>{drawInlines(token.tokens)}</strong>;
    case "em":
      return <em>{drawInlines(token.tokens)}</em>;
    case "del":
      return <del>{drawInlines(token.tokens)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "checkbox":
      return <span class="checkbox">{token.checked ? "☑ " : "☐ "}</span>;
    case "link":
      return drawLink(token as Tokens.Link);
    case "image":
      return drawImage(token as Tokens.Image);
    case "html":
      return token.text;
    case "escape":
      return token.text;
    default:
      return token.tokens ? drawInlines(token.tokens) : decodeEntities(token.text ?? token.raw);
  }
}

function outwardLink(href: string, children: ComponentChildren, title?: string | null): JSX.Element {
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={title ?? undefined}>
      {children}
    </a>
  );
}

function drawLink(token: Tokens.Link): ComponentChildren {
  const href = safeLink(decodeEntities(token.href));
  return href === null ? drawInlines(token.tokens) : outwardLink(href, drawInlines(token.tokens), token.title);
}

function drawImage(token: Tokens.Image): ComponentChildren {
  const href = safeLink(decodeEntities(token.href));
  const name = token.text || "image";
  return href === null ? `[${name}]` : outwardLink(href, `Image: ${name} (${new URL(href).host})`);
}
