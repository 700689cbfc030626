// What the router does, as the person sees it: an answer that breaks off and goes on elsewhere, who
// answered and why, and the administrator's page of targets.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import {
  answered,
  answers,
  button,
  chooseModel,
  FakeProvider,
  Pages,
  Parley,
  picture,
  refused,
  say,
  sayAndWait,
  signIn,
  streamed,
  type Reply,
} from "./browser_helpers.ts";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse battery staple";
const BEGUN = "Grüße aus 👋 Graz, wo ich seit Jahren";
const WHOLE = "Grüße aus 👋 Wien. Und das war alles.";

/** Says the beginning of an answer, then the connection is gone. */
const cutOff: Reply = async (response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  const choices = [{ index: 0, delta: { content: BEGUN }, finish_reason: null }];
  const chunk = { id: "1", object: "chat.completion.chunk", created: 1, model: "m", choices };
  response.write(`data: ${JSON.stringify(chunk)}\n\n`, () => response.destroy());
};

/** Answers when the test says so. */
class Gate {
  #open: () => void = () => {};
  #opened = Promise.resolve();

  close(): void {
    this.#opened = new Promise((open) => (this.#open = open));
  }

  open(): void {
    this.#open();
  }

  reply(then: Reply): Reply {
    return async (response, question) => {
      await this.#opened;
      await then(response, question);
    };
  }
}

describe("a route of two targets", () => {
  const gate = new Gate();
  let pages: Pages;
  let parley: Parley;
  let provider: FakeProvider;
  let context: BrowserContext;
  let page: Page;
  before(async () => {
    pages = await Pages.launch();
    provider = await FakeProvider.start({
      cuts: cutOff,
      locked: refused(401, "Incorrect API key"),
      whole: gate.reply(streamed(WHOLE, 5, 10)),
    });
    const settings = {
      "setup.admin_email": EMAIL,
      "setup.admin_password": PASSWORD,
      "routes.duo.targets": "fake/cuts,fake/whole",
      "routes.duo.attempts": "1",
      "routes.keyless.targets": "fake/locked,fake/whole",
    };
    const flags = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
    parley = await Parley.start(...provider.flags, ...flags);
    context = await pages.context(parley.origin);
    page = await context.newPage();
    await page.goto(parley.origin);
    await signIn(page, EMAIL, PASSWORD);
  });
  after(async () => {
    gate.open();
    await context.close();
    await parley.remove();
    provider.stop();
    await pages.close();
  });
  afterEach(() => assert.deepEqual(pages.takeWrong(), { console: [], requests: [], dialogs: [], violations: [] }));

  const story = () => answers(page).last().getByTestId("story");
  const shown = () => answers(page).last().locator(".markdown").innerText();

  test("an answer that breaks off goes on elsewhere: whole, and it says so", async () => {
    await chooseModel(page, "duo");
    gate.close();
    await say(page, "Where are you from?");
    await story().getByText(/^fake\/cuts broke off \(.+\), asking fake\/whole…$/).waitFor();
    assert.equal(await shown(), BEGUN, "what had come stays until there is something better");
    await picture(page, "route-asking");
    await page.reload();
    await story().getByText(/asking fake\/whole…$/).waitFor();
    assert.equal(await shown(), BEGUN);
    gate.open();
    await answered(page);
    assert.equal(await shown(), WHOLE);
    const line = await story().innerText();
    assert.match(line, /^The answer broke off at fake\/cuts \(.+\); fake\/whole went on from here\.$/);
    assert.equal(await story().getAttribute("title"), "Joined behind “Grüße aus 👋”");
    await picture(page, "route-joined");
    await page.reload();
    await answers(page).last().waitFor();
    assert.equal(await shown(), WHOLE);
    assert.equal(await story().innerText(), line);
    await answers(page).last().getByTestId("answer-footnote").getByText("whole").waitFor();
  });

  test("a target that refuses the key is told to the administrator, who brings it back", async () => {
    await button(page, "New chat").click();
    await chooseModel(page, "keyless");
    await sayAndWait(page, "And you?");
    assert.equal(await shown(), WHOLE);
    assert.equal(await story().innerText(), "Answered by fake/whole: fake/locked refused Parley’s key.");
    await page.reload();
    await page.getByTestId("targets-note").getByText("fake/locked is taken out: its provider refused Parley’s key.").waitFor();
    await picture(page, "route-refused-key");
    await page.getByRole("link", { name: "See targets" }).click();
    const locked = page.getByTestId("target-fake/locked");
    await locked.getByText("Taken out").waitFor();
    await locked.getByText(/^Its provider refused Parley’s key: /).waitFor();
    await locked.scrollIntoViewIfNeeded();
    await picture(page, "targets");
    await button(page, "Bring back fake/locked").click();
    await locked.getByText("Works").waitFor();
    assert.equal(await locked.getAttribute("data-state"), "closed");
  });

  test("an administrator takes a target out by hand", async () => {
    const whole = page.getByTestId("target-fake/whole");
    await whole.getByText(/2 answered, 0 failed/).waitFor();
    await button(page, "Take out fake/whole for an hour").click();
    await whole.getByText("taken out by an administrator").waitFor();
    assert.equal(await whole.getAttribute("data-state"), "benched");
    await page.reload();
    await button(page, "Bring back fake/whole").click();
    await whole.getByText("Works").waitFor();
    assert.equal(await page.getByTestId("targets-note").count(), 0);
  });
});
