// The web app and the real server in a real browser: what people do, and what goes wrong on the way.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, afterEach, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { BrowserContext, Page } from "playwright-core";
import {
  answered,
  answers,
  button,
  chooseModel,
  composer,
  eventually,
  FakeProvider,
  flood,
  Pages,
  Parley,
  picture,
  questions,
  refused,
  rows,
  say,
  sayAndWait,
  signIn,
  streamed,
} from "./browser_helpers.ts";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse battery staple";

let pages: Pages;
before(async () => {
  pages = await Pages.launch();
});
after(() => pages?.close());

/** After every test: nothing was fetched from elsewhere, nothing was refused by the page's own
 *  policy, nothing was reported on the console but what the test knows of. */
function assertNothingWrong(known: RegExp | null = null): void {
  const wrong = pages.takeWrong();
  wrong.console = wrong.console.filter((text) => known === null || !known.test(text));
  assert.deepEqual(wrong, { console: [], requests: [], dialogs: [], violations: [] });
}

/** What a browser itself writes when a server is away. */
const SERVER_AWAY = /WebSocket connection to|net::ERR_(CONNECTION_(REFUSED|RESET)|EMPTY_RESPONSE|INCOMPLETE_CHUNKED)/;

const textOf = async (page: Page) => (await answers(page).last().innerText()).replace(/\s+/g, " ").trim();
const draftsIn = (page: Page) =>
  page.evaluate(() => Object.keys(localStorage).filter((key) => /draft|pending/.test(key)));

describe("with nothing but the built-in partner", () => {
  let parley: Parley;
  let context: BrowserContext;
  let page: Page;
  before(async () => {
    parley = await Parley.start("--set", "eliza.delay_ms=200");
    context = await pages.context(parley.origin);
    page = await context.newPage();
  });
  after(async () => {
    await context.close();
    await parley.remove();
  });

  test("the printed link makes the first account, once", async () => {
    await page.goto(parley.origin);
    await page.getByRole("heading", { name: "Welcome to Parley" }).waitFor();
    await page.goto(parley.setupLink);
    await picture(page, "first-run");
    await page.getByLabel("Name").fill("Ada Lovelace");
    await page.getByLabel("Email").fill(EMAIL);
    await page.getByLabel("Password").fill("short");
    await button(page, "Create account").click();
    await page.getByRole("alert").getByText("Password must have at least 8 characters.").waitFor();
    await picture(page, "first-run-refused");
    assertNothingWrong(/status of 400/);
    await page.getByLabel("Password").fill(PASSWORD);
    await button(page, "Create account").click();
    await composer(page).waitFor();
    assert.equal(new URL(page.url()).pathname, "/", "the token does not stay in the address");
    await page.getByTestId("only-built-in").waitFor();
    await picture(page, "empty-chat");
    const stranger = await pages.context(parley.origin);
    const other = await stranger.newPage();
    await other.goto(parley.setupLink);
    await button(other, "Sign in").waitFor();
    await stranger.close();
    assertNothingWrong();
  });

  test("an answer comes word by word, and the address becomes the conversation's", async () => {
    await say(page, "Hello, I feel a bit sad today.");
    await questions(page).getByText("Hello, I feel a bit sad today.").waitFor();
    const lengths = new Set<number>();
    while ((await button(page, "Send").count()) === 0) {
      lengths.add((await textOf(page)).length);
      await sleep(50);
    }
    assert.ok(lengths.size >= 3, `grew in ${lengths.size} steps`);
    assert.match(page.url(), /\/c\/[0-9a-z]{26}$/);
    assert.equal(await answers(page).last().getAttribute("data-status"), "complete");
    await rows(page).getByText("Hello, I feel a bit sad today.").waitFor();
    assert.deepEqual(await draftsIn(page), []);
    assertNothingWrong();
  });

  test("a reload in mid-answer loses nothing", async () => {
    await say(page, "I dreamt of my mother and the sea.");
    await answers(page).nth(1).getByText(/\w+ \w+/).waitFor();
    await page.reload();
    await button(page, "Stop").waitFor();
    await answered(page);
    const shown = await textOf(page);
    await page.reload();
    await answers(page).nth(1).waitFor();
    assert.equal(await textOf(page), shown, "what streamed is what is stored");
    assertNothingWrong();
  });

  test("an answer is stopped, and continued", async () => {
    await say(page, "Why do you ask?");
    await answers(page).nth(2).getByText(/\w+/).waitFor();
    await button(page, "Stop").click();
    await page.getByTestId("end-note").getByText("You stopped this answer.").waitFor();
    await picture(page, "stopped");
    const stopped = await answers(page).last().locator(".markdown").innerText();
    await button(page, "Continue").click();
    await page.getByTestId("end-note").waitFor({ state: "hidden" });
    await answered(page);
    const whole = await answers(page).last().locator(".markdown").innerText();
    assert.ok(whole.startsWith(stopped.trim()) && whole.length > stopped.length, `${stopped} -> ${whole}`);
    assertNothingWrong();
  });

  test("regenerating and editing make branches, and the choice is kept", async () => {
    await button(page, "New chat").click();
    await sayAndWait(page, "Do computers worry you?");
    await answers(page).last().hover();
    await button(page, "Regenerate answer").click();
    await page.getByTestId("branch-position").getByText("2/2").waitFor();
    await answered(page);
    await button(page, "Previous version").click();
    await page.getByTestId("branch-position").getByText("1/2").waitFor();
    await sleep(300); // the choice goes to the server
    await page.reload();
    await page.getByTestId("branch-position").getByText("1/2").waitFor();
    await questions(page).last().hover();
    await button(page, "Edit message").click();
    await page.getByRole("textbox", { name: "Edit your message" }).fill("Do machines worry you?");
    await picture(page, "edit");
    await questions(page).getByRole("button", { name: "Send" }).click();
    await questions(page).getByText("Do machines worry you?").waitFor();
    await questions(page).getByTestId("branch-position").getByText("2/2").waitFor();
    await answered(page);
    await questions(page).last().hover();
    await questions(page).getByRole("button", { name: "Previous version" }).click();
    await questions(page).getByText("Do computers worry you?").waitFor();
    await answers(page).getByTestId("branch-position").waitFor();
    assertNothingWrong();
  });

  test("a crash in mid-answer: the page comes back, and the answer goes on", async () => {
    await button(page, "New chat").click();
    await say(page, "My brother never listens to me.");
    await answers(page).last().getByText(/\w+ \w+/).waitFor();
    await parley.kill();
    const shown = await answers(page).last().locator(".markdown").innerText();
    await page.getByTestId("connection").getByText("Reconnecting…").waitFor();
    await composer(page).fill("Written while it was away");
    await picture(page, "reconnecting");
    await parley.start();
    await button(page, "Try now").click({ timeout: 1000 }).catch(() => {}); // it may be back already
    await page.getByTestId("end-note").getByText("interrupted").waitFor();
    await picture(page, "interrupted");
    const kept = await answers(page).last().locator(".markdown").innerText();
    assert.ok(kept.length > 0 && shown.startsWith(kept.trim().slice(0, shown.length)), `${shown} -> ${kept}`);
    await button(page, "Continue").click();
    await page.getByTestId("end-note").waitFor({ state: "hidden" });
    await answered(page);
    assert.equal(await answers(page).last().getAttribute("data-status"), "complete");
    assert.ok((await textOf(page)).length > kept.length);
    assert.equal(await composer(page).inputValue(), "Written while it was away");
    await composer(page).fill("");
    assertNothingWrong(SERVER_AWAY);
  });

  test("a message sent while the server is away is kept, and sent when it is back", async () => {
    await button(page, "New chat").click();
    await parley.kill();
    await page.getByTestId("connection").getByText("Reconnecting…").waitFor();
    await say(page, "Can you hear me?");
    await page.getByText("Waiting for the connection…").waitFor();
    await picture(page, "waiting");
    await parley.start();
    await answers(page).last().waitFor();
    await answered(page);
    assert.equal(await questions(page).getByText("Can you hear me?").count(), 1);
    assert.deepEqual(await draftsIn(page), []);
    assertNothingWrong(SERVER_AWAY);
  });

  test("a page opened while the server is away says so, and comes back", async () => {
    await composer(page).fill("half a thought");
    await parley.kill();
    await page.getByTestId("connection").getByText("Reconnecting…").waitFor();
    await parley.start();
    await page.getByTestId("connection").getByText("Reconnecting…").waitFor({ state: "hidden" });
    await page.reload();
    await composer(page).waitFor();
    assert.equal(await composer(page).inputValue(), "half a thought", "drafts survive a reload");
    await composer(page).fill("");
    assertNothingWrong(SERVER_AWAY);
  });

  test("Enter belongs to the input method while a word is composed", async () => {
    const count = await questions(page).count();
    await composer(page).focus();
    const typing = await context.newCDPSession(page);
    await typing.send("Input.imeSetComposition", { text: "にほ", selectionStart: 2, selectionEnd: 2 });
    await composer(page).dispatchEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true });
    await composer(page).dispatchEvent("keydown", { key: "Enter", isComposing: true, bubbles: true });
    await typing.send("Input.insertText", { text: "日本" });
    assert.equal(await composer(page).inputValue(), "日本");
    assert.equal(await questions(page).count(), count);
    await composer(page).press("Enter");
    await questions(page).getByText("日本").waitFor();
    await answered(page);
    await typing.detach();
    assertNothingWrong();
  });

  test("two tabs stay the same", async () => {
    const second = await context.newPage();
    await second.goto(page.url());
    await composer(second).waitFor();
    await say(page, "Do you see this in the other tab?");
    await questions(second).getByText("Do you see this in the other tab?").waitFor();
    await button(second, "Stop").waitFor();
    await answered(second);
    await answered(page);
    assert.equal(await textOf(second), await textOf(page));
    await rows(page).first().hover();
    await button(page, /^Rename/).first().click();
    await page.getByLabel("Conversation title").fill("Tabs in step");
    await page.keyboard.press("Enter");
    await rows(second).getByText("Tabs in step").waitFor();
    await second.reload();
    await second.getByRole("heading", { name: "Tabs in step" }).waitFor();
    await second.close();
    assertNothingWrong();
  });

  test("a conversation is deleted, brought back, and deleted for good", async () => {
    const count = await rows(page).count();
    const remove = async () => {
      await rows(page).first().hover();
      await rows(page).first().getByRole("button", { name: /^Delete/ }).click();
      await page.getByTestId("toast").getByText("Conversation deleted.").waitFor();
      assert.equal(await rows(page).count(), count - 1);
    };
    await remove();
    await button(page, "Undo").click();
    assert.equal(await rows(page).count(), count);
    await remove();
    await page.reload(); // leaving the page does not undo it
    await rows(page).first().waitFor();
    assert.equal(await rows(page).count(), count - 1);
    await page.goto("/c/00000000000000000000000000");
    await page.getByText("This conversation is not here").waitFor();
    await picture(page, "missing");
    await button(page, "Start a new chat").click();
    await composer(page).waitFor();
    assertNothingWrong(/status of 404/);
  });

  test("the built-in partner says what it is", async () => {
    await button(page, /^Model:/).click();
    const option = page.getByRole("option");
    assert.equal(await option.count(), 1);
    assert.match((await option.innerText()).toLowerCase(), /built in/);
    await picture(page, "models-built-in");
    await page.keyboard.press("Escape");
    assertNothingWrong();
  });

  test("signing out and in", async () => {
    await button(page, "Sign out").click();
    await button(page, "Sign in").waitFor();
    await picture(page, "sign-in");
    await page.getByLabel("Email").fill(EMAIL);
    await page.getByLabel("Password").fill("not the password");
    await button(page, "Sign in").click();
    await page.getByRole("alert").waitFor();
    await picture(page, "sign-in-refused");
    await signIn(page, EMAIL, PASSWORD);
    await rows(page).first().waitFor();
    const second = await context.newPage();
    await second.goto("/");
    await composer(second).fill("half a thought");
    await button(page, "Sign out").click();
    await button(second, "Sign in").waitFor();
    await signIn(second, EMAIL, PASSWORD);
    assert.equal(await composer(second).inputValue(), "half a thought");
    await composer(page).waitFor();
    await second.close();
    assertNothingWrong(/status of 401/);
  });
});

// ---- Models that say anything

const LONG_ANSWER = `A **ring buffer** is an array whose end is joined to its beginning. Two counters say where to
write and where to read; both only ever grow, and their difference is what is stored.

## Code

\`\`\`c
#include <stdint.h>

/* One writer, one reader. The size is a power of two. */
struct ring {
    uint8_t *data;
    uint32_t size, head, tail;
};

static bool ring_push(struct ring *ring, uint8_t byte)
{
    if (ring->head - ring->tail == ring->size)
        return false; /* full */
    ring->data[ring->head++ & (ring->size - 1)] = byte;
    return true;
}
\`\`\`

## Ways to store it

| Way | Memory | When it is full | Good for |
| --- | ---: | --- | --- |
| Overwrite the oldest | 4 KiB | nothing waits | logs |
| Refuse the newest | 4 KiB | the writer waits | pipes |
| Grow | unbounded | never is | nothing, mostly |

1. Make the size a power of two: \`& (size - 1)\` is then the remainder.
2. Let the counters overflow; unsigned arithmetic takes care.
   - This needs \`size\` to divide 2³².

> Whoever measures finds that the cache line shared by both counters costs the most.

More is in [the documentation](https://example.org/rings).`;

const HOSTILE_ANSWER = `<script>alert(1)</script><img src=x onerror="alert(2)">
<iframe src="https://evil.example/"></iframe><style>body{display:none}</style>

[a link](javascript:alert(3)) [another](data:text/html,<script>alert(4)</script>) <javascript:alert(5)>
[vb](vbscript:msgbox(1)) [in the app](/settings) [tab](java\tscript:alert(6)) [good](https://example.org/)

![a picture](https://evil.example/pixel.png?secret) ![inline](data:image/svg+xml;base64,PHN2Zz4=)

<a href="https://evil.example" onclick="alert(7)">raw</a> <form action="https://evil.example"><input name=q></form>

| ${Array.from({ length: 60 }, (_, column) => `column ${column}`).join(" | ")} |
|${" --- |".repeat(60)}
${Array.from({ length: 120 }, (_, row) => `| ${Array.from({ length: 60 }, (_, column) => `${row}.${column}`).join(" | ")} |`).join("\n")}

\`\`\`html
<script>alert(8)</script><img src=x onerror=alert(9)>
\`\`\`

${"> ".repeat(300)}deep

${"[".repeat(2000)} ${"*a ".repeat(500)} ${"x".repeat(5000)}

\u202egnirts desrever\u202c \u0000 end of the hostile answer`;

describe("with a provider whose models say anything", () => {
  let parley: Parley;
  let provider: FakeProvider;
  let context: BrowserContext;
  let page: Page;
  before(async () => {
    provider = await FakeProvider.start({
      long: streamed(LONG_ANSWER, 12, 2),
      hostile: streamed(HOSTILE_ANSWER, 700),
      endless: streamed("Word after word. ".repeat(2000), 17, 15),
      flood: flood(9000, 3000, "and that was all."),
      cut: streamed("This answer stops in the middle of", 5, 0, "length"),
      broken: refused(500, "The engine is on <b>fire</b>"),
    });
    const account = ["--set", `setup.admin_email=${EMAIL}`, "--set", `setup.admin_password=${PASSWORD}`];
    parley = await Parley.start(...provider.flags, ...account);
    context = await pages.context(parley.origin);
    page = await context.newPage();
    await page.goto(parley.origin);
    await signIn(page, EMAIL, PASSWORD);
  });
  after(async () => {
    await context.close();
    await parley.remove();
    provider.stop();
  });
  afterEach(() => assertNothingWrong());

  test("code, tables and lists are drawn, and code is highlighted", async () => {
    await button(page, "Model: long").or(button(page, /^Model:/)).first().waitFor();
    await chooseModel(page, "long");
    await sayAndWait(page, "How does a ring buffer work?");
    await page.locator(".hljs-keyword").first().waitFor();
    assert.equal(await answers(page).getByRole("table").count(), 1);
    await picture(page, "long-answer");
    await page.locator(".thread").evaluate((element) => element.scrollTo(0, 0));
    await picture(page, "long-answer-top");
  });

  test("scrolling up during an answer is respected", async () => {
    await button(page, "New chat").click();
    await chooseModel(page, "endless");
    await say(page, "Talk");
    const top = () => page.locator(".thread").evaluate((element) => element.scrollTop);
    await eventually("the answer is longer than the page", async () => (await top()) > 600);
    await page.getByRole("region", { name: "Conversation" }).hover();
    await page.mouse.wheel(0, -400);
    await button(page, "Jump to end").waitFor();
    const before = await top();
    await sleep(400);
    assert.equal(await top(), before);
    await picture(page, "scrolled");
    await button(page, "Jump to end").click();
    await button(page, "Jump to end").waitFor({ state: "hidden" });
    await page.keyboard.press("Escape");
    await page.getByTestId("end-note").waitFor();
  });

  test("a page that comes late to a very long answer gets all of it, once", async () => {
    await button(page, "New chat").click();
    await chooseModel(page, "flood");
    await say(page, "Count");
    await answers(page).getByText("8999 9000").waitFor();
    await page.reload();
    await answers(page).getByText("8999 9000").waitFor();
    await button(page, "Stop").waitFor();
    await answers(page).getByText("9000 and that was all.").waitFor();
    await answered(page);
    const expected = Array.from({ length: 9000 }, (_, index) => index + 1).join(" ");
    const shown = (await answers(page).locator(".markdown").innerText()).replace(/\s+/g, " ").trim();
    assert.ok(shown === `${expected} and that was all.`, "every number once, in order");
  });

  test("a provider's error is told plainly, and trying again asks again", async () => {
    await button(page, "New chat").click();
    await chooseModel(page, "broken");
    await say(page, "Are you well?");
    const problem = answers(page).last().getByRole("alert");
    await problem.waitFor();
    assert.match(await problem.innerText(), /on <b>fire<\/b>|provider/i);
    await picture(page, "provider-error");
    const asked = provider.requests.length;
    await button(page, "Try again").click();
    await eventually("it is asked again", () => provider.requests.length > asked);
    await page.getByTestId("branch-position").getByText("2/2").waitFor();
  });

  test("an answer that reached its length limit can be continued", async () => {
    await button(page, "New chat").click();
    await chooseModel(page, "cut");
    await sayAndWait(page, "Write a lot");
    await page.getByTestId("end-note").getByText("length limit").waitFor();
    await button(page, "Continue").click();
    await eventually("the model is asked to go on", () => provider.requests.at(-1)?.messages.length === 3);
    await answers(page).getByText("the middle ofThis answer").waitFor();
  });

  test("hostile output does nothing", async () => {
    await button(page, "New chat").click();
    await chooseModel(page, "hostile");
    await sayAndWait(page, "Do your worst");
    const answer = answers(page).last();
    await answer.getByText("end of the hostile answer").waitFor();
    await answer.locator("pre .hljs-tag, pre .hljs-name").first().waitFor();
    assert.equal(await answer.locator("script, img, iframe, style, form, input, object, [onclick]").count(), 0);
    const links = await answer.locator("a").evaluateAll((all) => all.map((link) => (link as HTMLAnchorElement).href));
    assert.ok(links.every((link) => /^https:\/\/(example\.org|evil\.example)\//.test(link)), links.join(" "));
    const safe = await answer.locator("a").evaluateAll((all) =>
      all.every((link) => /noopener/.test((link as HTMLAnchorElement).rel) && (link as HTMLAnchorElement).target === "_blank"),
    );
    assert.ok(safe, "links cannot reach back");
    const sideways = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    assert.ok(await sideways(), "a huge table scrolls in its own box");
    await picture(page, "hostile");
    await page.reload();
    await answer.getByText("end of the hostile answer").waitFor();
    await sleep(300);
  });

  test("a picture is pasted, sent and shown; the model gets it", async () => {
    await button(page, "New chat").click();
    await chooseModel(page, "long");
    await composer(page).focus();
    const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    await composer(page).evaluate((area, base64) => {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const clipboard = new DataTransfer();
      clipboard.items.add(new File([bytes], "pixel.png", { type: "image/png" }));
      area.dispatchEvent(new ClipboardEvent("paste", { clipboardData: clipboard, bubbles: true, cancelable: true }));
    }, pixel);
    await page.getByRole("list", { name: "Attached images" }).getByRole("img").waitFor();
    await picture(page, "attached");
    await sayAndWait(page, "What is on this picture?");
    assert.equal(await questions(page).getByRole("img").count(), 1);
    assert.match(JSON.stringify(provider.requests.at(-1)), new RegExp(pixel.slice(0, 40).replaceAll("+", "\\+")));
    await page.reload();
    await questions(page).getByRole("img").waitFor();
  });

  test("a large picture makes a conversation that is named by its message", async () => {
    await button(page, "New chat").click();
    const large = Buffer.concat([await page.screenshot(), Buffer.alloc(1_500_000)]);
    await page.getByLabel("Choose images").setInputFiles({ name: "large.png", mimeType: "image/png", buffer: large });
    await page.getByRole("list", { name: "Attached images" }).getByRole("img").waitFor();
    await sayAndWait(page, "A rather large picture");
    await rows(page).first().getByText("A rather large picture").waitFor();
    await page.getByRole("heading", { name: "A rather large picture" }).waitFor();
  });

  test("the first load is small, and the second is nothing but the page", async (test) => {
    const fresh = await pages.context(parley.origin);
    await fresh.addCookies(await context.cookies());
    const first = await fresh.newPage();
    const load = async () => {
      await first.goto("/");
      await composer(first).waitFor();
      return first.evaluate(() => {
        const entries = performance.getEntries().filter((entry) => entry instanceof PerformanceResourceTiming);
        const files = entries.filter((entry) => !entry.name.includes("/api/"));
        const bytes = files.reduce((sum, entry) => sum + entry.transferSize, 0);
        return { bytes, milliseconds: Math.round(performance.now()) };
      });
    };
    const cold = await load();
    const warm = await load();
    test.diagnostic(`first load ${cold.bytes} bytes, usable after ${cold.milliseconds} ms`);
    test.diagnostic(`second load ${warm.bytes} bytes, usable after ${warm.milliseconds} ms`);
    assert.ok(cold.bytes > 10_000 && cold.bytes < 150_000);
    assert.ok(warm.bytes < 2_000);
    await fresh.close();
  });

  test("settings: sources are shown, what is decided elsewhere cannot be changed", async () => {
    await button(page, "Settings").click();
    await page.getByText(/^Decided when Parley starts/).click();
    const port = page.getByTestId("setting-server.port");
    await port.waitFor();
    assert.equal(await port.getAttribute("data-source"), "environment");
    assert.match(await port.innerText(), /PORT/);
    assert.equal(await port.locator("input, select, button").count(), 0);
    const password = page.getByTestId("setting-setup.admin_password");
    assert.ok(!(await page.content()).includes(PASSWORD), "secrets are not shown");
    assert.equal(await password.getAttribute("data-source"), "flag");
    const delay = page.getByLabel("eliza.delay_ms", { exact: true });
    await delay.fill("40");
    await button(page, "Save eliza.delay_ms").click();
    await button(page, "Reset eliza.delay_ms to its default").waitFor();
    await page.reload();
    assert.equal(await delay.inputValue(), "40");
    await button(page, "Reset eliza.delay_ms to its default").click();
    await eventually("it is the default again", async () => (await delay.inputValue()) === "25");
    await page.getByTestId("provider-fake").getByText("Works").waitFor();
    await picture(page, "settings");
    await page.setViewportSize({ width: 1280, height: 2600 });
    await picture(page, "settings-whole");
    await page.setViewportSize({ width: 1280, height: 800 });
  });

  test("an administrator adds a provider, and removes it", async () => {
    await button(page, "Add a provider").click();
    const form = page.getByRole("form", { name: "New provider" });
    await form.getByLabel("Kind").selectOption("OpenAI-compatible");
    await form.getByLabel("Address").fill(provider.address);
    await form.getByLabel("Name here").fill("second");
    await picture(page, "new-provider");
    await form.getByRole("button", { name: "Add" }).click();
    const row = page.getByTestId("provider-second");
    await row.getByText("Works").waitFor();
    await row.getByText("6 models").waitFor();
    await button(page, "Remove second").click();
    await row.waitFor({ state: "hidden" });
    assert.equal(await page.locator('[data-testid^="setting-providers.second"]').count(), 0, "nothing of it is left");
  });

  test("a key made in the settings works with curl, and not after it was revoked", async () => {
    await page.getByLabel("Name of the new key").fill("Notebook");
    await button(page, "Create key").click();
    const secret = await page.getByTestId("new-key").locator("code").innerText();
    assert.match(secret, /^sk-parley-/);
    await picture(page, "new-key");
    const curl = async (path: string, body?: object) => {
      const rest = body ? ["-H", "Content-Type: application/json", "-d", JSON.stringify(body)] : [];
      const { stdout } = await promisify(execFile)("curl", ["-s", "-H", `Authorization: Bearer ${secret}`, ...rest, parley.origin + path]);
      return JSON.parse(stdout) as Record<string, any>;
    };
    const models = await curl("/v1/models");
    assert.ok(models["data"].some((model: { id: string }) => model.id === "parley/eliza"));
    const messages = [{ role: "user", content: "Hello" }];
    const completion = await curl("/v1/chat/completions", { model: "parley/eliza", messages });
    assert.ok(completion["choices"][0].message.content.length > 0);
    await button(page, "I have kept it").click();
    await button(page, "Revoke Notebook").click();
    await button(page, "Really revoke Notebook").click();
    await page.getByTestId("api-key").waitFor({ state: "hidden" });
    assert.ok((await curl("/v1/models"))["error"]);
  });

  test("another person sees neither these conversations nor the administrator's settings", async () => {
    await button(page, "Add a person").click();
    const form = page.getByRole("form", { name: "New person" });
    await form.getByLabel("Name").fill("Grace Hopper");
    await form.getByLabel("Email").fill("grace@example.org");
    await form.getByLabel("First password").fill(PASSWORD);
    await picture(page, "new-person");
    await form.getByRole("button", { name: "Add" }).click();
    await page.getByTestId("user").getByText("Grace Hopper").waitFor();
    await button(page, "New chat").click();
    const hers = await pages.context(parley.origin);
    const other = await hers.newPage();
    await other.goto(parley.origin);
    await signIn(other, "grace@example.org", PASSWORD);
    await other.getByText("Your conversations will be listed here.").waitFor();
    await composer(other).fill("Grace's secret");
    await button(other, "Sign out").click();
    await signIn(other, EMAIL, PASSWORD);
    assert.equal(await composer(other).inputValue(), "", "a draft is not for the next person");
    await button(other, "Sign out").click();
    await signIn(other, "grace@example.org", PASSWORD);
    await button(other, "Settings").click();
    await other.getByLabel("Name of the new key").waitFor();
    await sleep(300);
    assert.equal(await other.locator('[data-testid^="setting-"]').count(), 0);
    await hers.close();
  });

  test("dark and light: as the system, or as chosen, without a flash of the other", async () => {
    await rows(page).getByText("How does a ring buffer work?").click();
    await answers(page).last().waitFor();
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await background();
    assert.notEqual(dark, light);
    await picture(page, "dark");
    await button(page, "Theme: as the system").click();
    assert.equal(await background(), light);
    await page.reload();
    await answers(page).last().waitFor();
    assert.equal(await background(), light);
    await button(page, "Theme: light").click();
    await button(page, "Theme: dark").click();
    await page.emulateMedia({ colorScheme: "light" });
    assert.equal(await background(), light);
  });

  test("on a phone the sidebar is away until asked for, and nothing scrolls sideways", async () => {
    await page.setViewportSize({ width: 390, height: 800 });
    const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    await button(page, "Show sidebar").waitFor();
    assert.ok(await fits());
    await picture(page, "phone");
    await button(page, "Show sidebar").click();
    await picture(page, "phone-sidebar");
    await rows(page).getByText("Do your worst").click();
    await answers(page).getByText("end of the hostile answer").waitFor();
    assert.ok(await fits());
    await button(page, "Show sidebar").click();
    await button(page, "Settings").click();
    await page.getByText(/^Decided when Parley starts/).click();
    await page.getByTestId("setting-server.port").waitFor();
    assert.ok(await fits());
    await picture(page, "phone-settings");
    await page.setViewportSize({ width: 1280, height: 800 });
    await button(page, "New chat").click();
  });
});
