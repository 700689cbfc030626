// Drives the built app against the mock in a real browser: checks what a person does in the first
// ten minutes, and leaves pictures to look at. `npm run drive [folder]` (the folder: /tmp/parley-web).
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { chromium } from "playwright-core";
import { createMock } from "./server.mjs";

const folder = process.argv[2] ?? "/tmp/parley-web";
await mkdir(folder, { recursive: true });
const mock = createMock({ tokenDelayMs: 8 });
await new Promise((resolve) => mock.server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${mock.server.address().port}`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
});

const complaints = [];
const foreign = [];
async function newPage(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 820 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error.stack)));
  page.on("request", (request) => !/^(data:|blob:)/.test(request.url()) && !request.url().startsWith(origin) && foreign.push(request.url()));
  return page;
}
const shot = (page, name) => page.screenshot({ path: `${folder}/${name}.png` });
const composer = (page) => page.getByRole("textbox", { name: "Message", exact: true });
const answers = (page) => page.getByTestId("message-answer");
const finished = (page) => page.getByRole("button", { name: "Send", exact: true }).waitFor();

async function say(page, text) {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}
async function sayAndWait(page, text) {
  const before = await answers(page).count();
  await say(page, text);
  await answers(page).nth(before).waitFor();
  await finished(page);
}

const steps = {
  async "first run: the setup link makes the first account"(page) {
    await page.goto(`${origin}/setup?token=mock`);
    await page.getByLabel("Email").fill("ada@example.org");
    await shot(page, "setup");
    await page.getByLabel("Name").fill("Ada Lovelace");
    await page.getByLabel("Password").fill("correct horse battery staple");
    await page.getByRole("button", { name: "Create account" }).click();
    await composer(page).waitFor();
    assert.equal(new URL(page.url()).pathname, "/");
    await page.waitForTimeout(200);
    await shot(page, "welcome");
  },
  async "a message is answered, and the address is the conversation's"(page) {
    await sayAndWait(page, "/code How does a ring buffer work?");
    assert.match(page.url(), /\/c\/\w+$/);
    await page.locator(".hljs-keyword").first().waitFor();
    await shot(page, "code");
    assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((key) => /draft|pending/.test(key)).length), 0);
  },
  async "Enter while composing sends nothing"(page) {
    await composer(page).fill("にほ");
    await composer(page).dispatchEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true });
    await composer(page).dispatchEvent("keydown", { key: "Enter", isComposing: true, bubbles: true });
    assert.equal(await composer(page).inputValue(), "にほ");
    await page.reload();
    assert.equal(await composer(page).inputValue(), "にほ", "the draft survives a reload");
    await composer(page).fill("");
  },
  async "regenerate and edit make branches, and the choice is kept"(page) {
    await answers(page).last().getByRole("button", { name: "Regenerate answer" }).click();
    await page.getByTestId("branch-position").getByText("2/2").waitFor();
    await finished(page);
    await page.getByRole("button", { name: "Previous version" }).click();
    await page.getByTestId("branch-position").getByText("1/2").waitFor();
    await page.reload();
    await page.getByTestId("branch-position").getByText("1/2").waitFor();
    await page.getByRole("button", { name: "Edit message" }).click();
    await page.getByRole("textbox", { name: "Edit your message" }).fill("/table Compare the ways to store it");
    await page.getByTestId("message-user").getByRole("button", { name: "Send" }).click();
    await page.getByRole("table").waitFor();
    await finished(page);
    await shot(page, "table");
  },
  async "hostile output stays text"(page) {
    await sayAndWait(page, "/hostile");
    const last = answers(page).last();
    assert.equal(await last.locator("img, script, [style], div[style]").count(), 0);
    await last.locator(".hljs-name").first().waitFor();
    assert.deepEqual(await last.locator("a").evaluateAll((links) => links.map((link) => link.href)), [
      "https://evil.example/pixel.png",
      "https://example.org/",
    ]);
    await shot(page, "hostile");
  },
  async "reasoning, tool calls and a failure read plainly"(page) {
    await page.getByRole("button", { name: "New chat" }).click();
    await sayAndWait(page, "/think Name a number");
    await page.getByTestId("reasoning").locator("summary").click();
    await sayAndWait(page, "/tool How will the weather be?");
    await page.getByTestId("tool-call").locator("summary").click();
    await sayAndWait(page, "/fail");
    await page.getByRole("button", { name: "Continue", exact: true }).waitFor();
    await shot(page, "notes");
    await page.getByRole("button", { name: "Continue", exact: true }).click();
    await page.getByRole("button", { name: "Continue", exact: true }).waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Continue", exact: true }).waitFor(); // it fails again
  },
  async "a stopped answer can be continued"(page) {
    await say(page, "/slow Tell me a lot");
    await answers(page).last().getByText("Paragraph 1.").waitFor();
    await page.keyboard.press("Escape");
    await page.getByTestId("end-note").waitFor();
    await shot(page, "stopped");
    await page.getByRole("button", { name: "Continue", exact: true }).click();
    await page.getByRole("button", { name: "Stop" }).waitFor();
  },
  async "a reload and a lost connection in mid-answer lose nothing"(page) {
    const text = () => answers(page).last().innerText();
    const shown = await text();
    await page.reload();
    await page.getByRole("button", { name: "Stop" }).waitFor();
    await page.waitForFunction((length) => [...document.querySelectorAll('[data-testid="message-answer"]')].at(-1)?.innerText.length >= length, shown.length);
    for (const socket of mock.state.sockets) socket.destroy();
    await page.waitForTimeout(1500);
    const run = [...mock.state.runs.values()].at(-1);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByTestId("end-note").waitFor();
    const whole = run.message.content.map((part) => part.text).join("");
    const squeeze = (value) => value.replace(/\s+/g, "");
    assert.ok(squeeze(await text()).includes(squeeze(whole)), "every word once, in order");
  },
  async "what could not be sent stays and can be sent again"(page) {
    await say(page, "/refuse this");
    const failed = page.getByTestId("message-pending");
    await failed.getByRole("button", { name: "Try again" }).waitFor();
    await shot(page, "failed");
    await failed.getByRole("button", { name: "Edit" }).click();
    assert.equal(await composer(page).inputValue(), "/refuse this");
    await composer(page).fill("");
  },
  async "a message written while the connection is away is sent when it is back"(page) {
    const welcome = mock.server.listeners("upgrade")[0];
    mock.server.off("upgrade", welcome);
    const refuse = (_, stream) => stream.destroy();
    mock.server.on("upgrade", refuse);
    for (const socket of mock.state.sockets) socket.destroy();
    await page.getByText("Reconnecting…").waitFor();
    await say(page, "Written in the dark");
    await page.getByText("Waiting for the connection…").waitFor();
    await shot(page, "reconnecting");
    mock.server.off("upgrade", refuse);
    mock.server.on("upgrade", welcome);
    await page.getByRole("button", { name: "Try now" }).click();
    await answers(page).last().getByText("Written in the dark").waitFor();
    await finished(page);
    assert.equal(await page.getByText("Reconnecting…").count(), 0);
  },
  async "a message whose confirmation got lost is there once"(page) {
    mock.state.loseNextAccepted = true;
    await sayAndWait(page, "Did you get this?");
    assert.equal(await page.getByTestId("message-user").getByText("Did you get this?").count(), 1);
    await page.getByRole("button", { name: "New chat" }).click();
    mock.state.loseNextAccepted = true;
    await say(page, "And this, in a new conversation?");
    await composer(page).fill("typed meanwhile");
    await answers(page).getByText("You wrote “And this").waitFor();
    await finished(page);
    assert.match(page.url(), /\/c\/\w+$/);
    assert.equal(await composer(page).inputValue(), "typed meanwhile");
    await composer(page).fill("");
    const sent = [...mock.state.messages.values()].filter(({ role, content }) => role === "user" && /get this|And this/.test(content[0].text));
    assert.equal(sent.length, 2);
    assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((key) => /draft|pending/.test(key)).length), 0);
  },
  async "pictures are attached, shown and sent, also large ones"(page) {
    const png = await page.screenshot();
    const large = Buffer.concat([png, Buffer.alloc(1_200_000)]);
    await page.getByLabel("Choose images").setInputFiles([
      { name: "a.png", mimeType: "image/png", buffer: png },
      { name: "b.png", mimeType: "image/png", buffer: large },
      { name: "c.pdf", mimeType: "application/pdf", buffer: png },
    ]);
    await page.getByRole("list", { name: "Attached images" }).getByRole("img").nth(1).waitFor();
    await composer(page).fill("What is this?");
    await shot(page, "attach");
    await sayAndWait(page, "What is this?");
    assert.equal(await page.getByTestId("message-user").last().getByRole("img").count(), 2);
  },
  async "scrolling up is respected"(page) {
    await say(page, "/long Write a lot");
    await answers(page).last().getByText("Paragraph 12.").waitFor();
    await page.getByRole("region", { name: "Conversation" }).hover();
    await page.mouse.wheel(0, -900);
    const jump = page.getByRole("button", { name: "Jump to end" });
    await jump.waitFor();
    const top = () => page.locator(".thread").evaluate((element) => element.scrollTop);
    const before = await top();
    await page.waitForTimeout(300);
    assert.equal(await top(), before);
    await shot(page, "scrolled");
    await jump.click();
    await jump.waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "Stop" }).click();
    await finished(page);
  },
  async "a second tab follows"(page) {
    const second = await page.context().newPage();
    await second.goto(page.url());
    await composer(second).waitFor();
    await sayAndWait(page, "Do you see this?");
    await answers(second).last().getByText("Do you see this?").waitFor();
    await second.close();
  },
  async "conversations are renamed, deleted and brought back"(page) {
    const rows = page.getByTestId("conversation-row");
    await rows.first().hover();
    await rows.first().getByRole("button", { name: /^Rename/ }).click();
    await page.getByLabel("Conversation title").fill("Numbers and weather");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Numbers and weather" }).or(rows.getByText("Numbers and weather")).first().waitFor();
    const count = await rows.count();
    await rows.last().hover();
    await rows.last().getByRole("button", { name: /^Delete/ }).click();
    await page.getByTestId("toast").getByText("Conversation deleted.").waitFor();
    assert.equal(await rows.count(), count - 1);
    await page.getByRole("button", { name: "Undo" }).click();
    assert.equal(await rows.count(), count);
  },
  async "a long list loads as it is scrolled"(page) {
    for (let day = 0; day < 75; day++) {
      const time = new Date(Date.now() - (day + 1) * 0.7 * 86_400_000).toISOString();
      mock.addConversation({ title: ["Packing for Lisbon", "Why is the sky blue", "Tax return, question about form 7", "Regex for dates", "Names for a cat"][day % 5] }, time);
    }
    await page.goto(origin);
    await page.getByTestId("conversation-row").nth(29).waitFor();
    await page.locator(".conversation-list").evaluate((element) => element.scrollTo(0, element.scrollHeight));
    await page.getByTestId("conversation-row").nth(59).waitFor();
    await page.locator(".conversation-list").evaluate((element) => element.scrollTo(0, 0));
    await shot(page, "list");
  },
  async "a model is found and remembered"(page) {
    await page.getByRole("button", { name: /^Model:/ }).click();
    await page.waitForTimeout(100);
    await shot(page, "models");
    await page.getByLabel("Search models").fill("llama");
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Model: llama3.3" }).waitFor();
    await page.reload();
    await page.getByRole("button", { name: "Model: llama3.3" }).waitFor();
  },
  async "settings, and a key that is shown once"(page) {
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByLabel("Name of the new key").fill("Notebook");
    await page.getByRole("button", { name: "Create key" }).click();
    await page.getByTestId("new-key").waitFor();
    await page.getByRole("checkbox", { name: "metrics" }).uncheck();
    await page.getByRole("button", { name: "Save metrics" }).click();
    await page.getByRole("button", { name: /^Reset metrics/ }).waitFor();
    await page.setViewportSize({ width: 1280, height: 1900 });
    await shot(page, "settings");
    await page.setViewportSize({ width: 1280, height: 820 });
    await page.getByRole("button", { name: "Revoke Notebook" }).click();
    await page.getByRole("button", { name: "Really revoke Notebook" }).click();
    await page.getByTestId("api-key").waitFor({ state: "hidden" });
  },
  async "dark, phone, sign out"(page) {
    await page.getByRole("button", { name: "New chat" }).click();
    await sayAndWait(page, "/code Once more, please");
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForTimeout(150);
    await shot(page, "dark");
    await page.setViewportSize({ width: 390, height: 800 });
    await page.waitForTimeout(150);
    await shot(page, "phone-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await shot(page, "phone");
    await page.getByRole("button", { name: "Show sidebar" }).click();
    await shot(page, "phone-sidebar");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no sideways scrolling");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    await shot(page, "phone-signin");
  },
};

let failures = 0;
const page = await newPage();
page.setDefaultTimeout(8000);
for (const [name, step] of Object.entries(steps)) {
  try {
    await step(page);
    console.log(`ok    ${name}`);
  } catch (error) {
    failures++;
    console.log(`FAIL  ${name}\n${error.stack}`);
    await shot(page, `FAIL-${failures}`);
  }
}
// Refused answers of the mock are part of the plan; anything else on the console is not.
const unplanned = complaints.filter((text) => !/WebSocket connection to|status of (401|404|507)/.test(text));
if (unplanned.length > 0 || foreign.length > 0) failures++;
if (unplanned.length > 0) console.log(`FAIL  the console is quiet\n${unplanned.join("\n")}`);
if (foreign.length > 0) console.log(`FAIL  nothing is fetched from elsewhere\n${foreign.join("\n")}`);
await browser.close();
process.exit(failures === 0 ? 0 : 1);
