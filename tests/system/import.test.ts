// parley import litellm: what it writes loads, is well, and answers.
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openaiOf } from "./doors.ts";
import { command, startFake, startParley, temporaryFolder } from "./parley.ts";

test("a LiteLLM configuration becomes one that works", async (t) => {
  const fake = await startFake(t);
  const folder = temporaryFolder(t);
  const theirs = join(folder, "config.yaml"), ours = join(folder, "parley.yaml");
  writeFileSync(theirs, `
model_list:
  - {model_name: smart, litellm_params: {model: openai/echo, api_base: "${fake.url}/v1", api_key: sk-5ecre7, rpm: 6000}}
  - {model_name: smart, litellm_params: {model: anthropic/echo, api_base: "${fake.url}", api_key: os.environ/ANTHROPIC_API_KEY}}
  - {model_name: cloud, litellm_params: {model: bedrock/claude}}
  - {model_name: broken, litellm_params: {model: ollama_chat/503, api_base: "${fake.url}"}}
router_settings: {fallbacks: [{broken: [smart]}], model_group_alias: {gpt-4: smart}, num_retries: 0}
general_settings: {master_key: sk-5ecre7}
`);
  const env = { ANTHROPIC_API_KEY: "sk-lab" };

  const shown = await command(folder, ["import", "litellm", theirs]);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /routes:/);
  assert.match(shown.stderr, /model_list\[2\]\.litellm_params\.model: there is no provider 'bedrock'/);
  assert.match(shown.stderr, /general_settings\.master_key: keys are not copied/);
  assert.ok(!(shown.stdout + shown.stderr).includes("5ecre7"), "a key was copied");
  assert.ok(!existsSync(ours));

  const written = await command(folder, ["import", "litellm", theirs, "--output", ours]);
  assert.equal(written.code, 0, written.stderr);
  assert.equal(readFileSync(ours, "utf8"), shown.stdout);
  assert.equal(statSync(ours).mode & 0o777, 0o600);
  const again = await command(folder, ["import", "litellm", theirs, "--output", ours]);
  assert.equal(again.code, 1);
  assert.match(again.stderr, /exists already/);
  assert.equal((await command(folder, ["import", "litellm", theirs, "--output", ours, "--force"])).code, 0);

  const check = await command(folder, ["check"], { env });
  assert.equal(check.code, 0, check.stdout + check.stderr);
  const parley = await startParley(t, { folder, env, people: false });
  await parley.makePeople();
  const openai = openaiOf(parley);
  for (const model of ["smart", "gpt-4", "broken"])
    assert.equal((await openai.chat.completions.create({ model, messages: [{ role: "user", content: "hi" }] })).choices[0]!.message.content, "You said: hi", model);
});

test("what cannot be imported", async (t) => {
  const folder = temporaryFolder(t);
  assert.equal((await command(folder, ["import"])).code, 2);
  assert.equal((await command(folder, ["import", "nginx", "x"])).code, 2);
  const missing = await command(folder, ["import", "litellm", join(folder, "none.yaml")]);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /none\.yaml does not exist/);
  writeFileSync(join(folder, "bad.yaml"), "model_list: [");
  const bad = await command(folder, ["import", "litellm", join(folder, "bad.yaml"), "--output", join(folder, "out.yaml")]);
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /bad\.yaml: line \d+/);
  assert.ok(!existsSync(join(folder, "out.yaml")));
});
