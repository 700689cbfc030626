// Configuration: five sources and their order, mistakes that are named, settings in the browser,
// secrets that are sealed.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command, cookieOf, eventually, filesBelow, SECRET, startFake, startParley, temporaryFolder, type Parley } from "./parley.ts";

const find = async (parley: Parley, key: string) =>
  (await parley.ask("GET", "/api/v1/settings", { local: true })).json.settings.find((one: any) => one.key === key);
const patch = (parley: Parley, body: object) => parley.ask("PATCH", "/api/v1/settings", { local: true, body });

test("flag over environment over file over stored over default; .env below the environment", async (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, "data"));
  writeFileSync(join(folder, "parley.yaml"), "eliza:\n  delay_ms: 11 # of the file\nlog: {level: warning}\nchat:\n  default_model: \"parley/eliza\"\ntimeouts:\n  total_ms: 5000\n");
  writeFileSync(join(folder, ".env"), "# a comment\nexport PARLEY_LOG_LEVEL='debug' \nPARLEY_DEFAULT_MODEL=\"from/dotenv\"\nOPENAI_API_KEY=sk-from-dotenv # trailing\n");
  const parley = await startParley(t, { folder, env: { PARLEY_DEFAULT_MODEL: "from/environment" }, args: ["--set", "timeouts.total_ms=7000"] });
  const expected: Record<string, [unknown, string, RegExp, boolean]> = {
    "eliza.delay_ms": [11, "file", /parley\.yaml:2$/, false],
    "log.level": ["debug", "environment", /^PARLEY_LOG_LEVEL$/, false],
    "chat.default_model": ["from/environment", "environment", /^PARLEY_DEFAULT_MODEL$/, false],
    "timeouts.total_ms": [7000, "flag", /^--set$/, false],
    "timeouts.connect_ms": [10000, "default", /^$/, true],
    "server.port": [0, "environment", /^PORT$/, false],
    "server.idle_timeout_ms": [75000, "default", /^$/, false],
    "providers.openai.api_key": ["********", "environment", /^OPENAI_API_KEY$/, false],
  };
  for (const [key, [value, source, where, editable]] of Object.entries(expected)) {
    const setting = await find(parley, key);
    assert.deepEqual([setting.value, setting.source, setting.editable], [value, source, editable], key);
    assert.match(setting.where, where, key);
    assert.ok(setting.description.length > 5);
  }

  await t.test("what is fixed further up cannot be changed, what is nobody's can", async () => {
    for (const [body, status, field] of [[{ "eliza.delay_ms": 5 }, 409, "eliza.delay_ms"], [{ "server.port": 5 }, 403, "server.port"], [{ "server.idle_timeout_ms": 100 }, 403, "server.idle_timeout_ms"],
      [{ "timeouts.conect_ms": 5 }, 404, "timeouts.conect_ms"], [{ "timeouts.connect_ms": "soon" }, 400, "timeouts.connect_ms"], [{ "timeouts.connect_ms": 5 }, 400, "timeouts.connect_ms"],
      [{ "timeouts.connect_ms": [] }, 400, "timeouts.connect_ms"], [{ "timeouts.connect_ms": 2000, "eliza.delay_ms": 5 }, 409, "eliza.delay_ms"]] as const) {
      const answer = await patch(parley, body);
      assert.equal(answer.status, status, `${JSON.stringify(body)}: ${answer.text}`);
      assert.equal(answer.json.error.field, field);
    }
    assert.equal((await find(parley, "timeouts.connect_ms")).source, "default", "all or nothing");
    const fixed = await patch(parley, { "eliza.delay_ms": 5 });
    assert.match(fixed.json.error.message, /file.*parley\.yaml:2/);
    const changed = await patch(parley, { "timeouts.connect_ms": 2000, "timeouts.headers_ms": "3000" });
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual([(await find(parley, "timeouts.connect_ms")).value, (await find(parley, "timeouts.headers_ms")).source], [2000, "stored"]);
    assert.equal((await patch(parley, { "timeouts.headers_ms": null })).status, 200);
    assert.equal((await find(parley, "timeouts.headers_ms")).source, "default");
  });

  await t.test("stored ones stay", async () => {
    await parley.stop();
    const again = await startParley(t, { folder });
    assert.deepEqual([(await find(again, "timeouts.connect_ms")).value, (await find(again, "timeouts.connect_ms")).source], [2000, "stored"]);
    await again.stop();
    const overruled = await startParley(t, { folder, args: ["--set=timeouts.connect_ms=2500"] });
    assert.deepEqual([(await find(overruled, "timeouts.connect_ms")).value, (await find(overruled, "timeouts.connect_ms")).source], [2500, "flag"]);
    const checked = await command(folder, ["check"]);
    assert.match(checked.stdout, /timeouts\.connect_ms\s+2500\s+flag \(--set\)/);
    assert.match(checked.stdout, /providers\.openai\.api_key\s+\*{8}\s+environment \(OPENAI_API_KEY\)/);
    assert.ok(!checked.stdout.includes("sk-from-dotenv"));
  });
});

test("mistakes are named, with their line and the nearest right name", async (t) => {
  const folder = temporaryFolder(t);
  const rows: [string, RegExp[]][] = [
    ["server:\n  prot: 80\n", [/parley\.yaml:2/, /server\.prot/, /server\.port/]],
    ["servre: {port: 80}\n", [/parley\.yaml:1/, /servre/]],
    ["a: 1\nb\n", [/parley\.yaml:\d/]], ["server: [1\n", [/parley\.yaml:\d/]], ["- a\n", [/parley\.yaml:1/]],
    ["log:\n  level: loud\n", [/parley\.yaml:2/, /log\.level/]], ["server:\n\n\n  port: eighty\n", [/parley\.yaml:4/, /server\.port/]], ["server: {port: 70000}\n", [/server\.port/]],
    ["a: &x 1\nb: *x\n", [/parley\.yaml/]], [`${"a: {".repeat(50)}1${"}".repeat(50)}\n`, [/parley\.yaml:1/]],
    ["providers:\n  mine:\n    kind: opneai\n", [/kind/, /openai/]],
    ["providers:\n  mine:\n    base_ulr: http://x\n    kind: openai\n", [/parley\.yaml:3/, /base_url/]],
  ];
  for (const [yaml, patterns] of rows) {
    writeFileSync(join(folder, "parley.yaml"), yaml);
    const { code, stdout, stderr } = await command(folder, ["check"]);
    assert.notEqual(code, 0, yaml + stdout);
    for (const pattern of patterns) assert.match(stderr + stdout, pattern, yaml);
  }
  writeFileSync(join(folder, "parley.yaml"), "");
  assert.equal((await command(folder, ["check"])).code, 0, "an empty file is fine");
  for (const [env, pattern] of [["NONSENSE\n", /\.env:1/], ["A=1\nB='open\n", /\.env:2/]] as const) {
    writeFileSync(join(folder, ".env"), env);
    const { code, stderr } = await command(folder, ["check"]);
    assert.notEqual(code, 0);
    assert.match(stderr, pattern);
  }
  writeFileSync(join(folder, ".env"), "");
  const missing = await command(folder, ["check", "--config", "nowhere.yaml"]);
  assert.notEqual(missing.code, 0);
  assert.match(missing.stderr, /nowhere\.yaml/);
  for (const [env, pattern] of [[{ PORT: "http" }, /PORT/], [{ PARLEY_LOOPS: "1000" }, /PARLEY_LOOPS|server\.loops/]] as const) {
    const wrong = await command(folder, ["check"], { env });
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.stderr, pattern);
  }
});

test("routes: checked, listed, answered by one of their targets; a wrong one does not stop the others", async (t) => {
  const fake = await startFake(t);
  const folder = temporaryFolder(t);
  const yaml = `providers:
  lab: {kind: openai-compatible, base_url: "${fake.url}/v1"}
routes:
  fast.1:
    targets: [lab/count-2, lab/echo]
    fallbacks: [slow, parley/eliza]
  slow: {targets: lab/count-3, strategy: cost}
  typo:
    targets: [lba/count-2]
  round: {targets: lab/echo, fallbacks: [fast.1, round]}
`;
  writeFileSync(join(folder, "parley.yaml"), yaml);
  const checked = await command(folder, ["check"]);
  assert.notEqual(checked.code, 0, "a wrong route is told by the exit status");
  assert.match(checked.stdout, /^fast\.1 +ok +priority: lab\/count-2, lab\/echo; then cost: lab\/count-3; then priority: parley\/eliza$/m);
  assert.match(checked.stdout, /^typo +error +.*parley\.yaml:9: routes\.typo\.targets: there is no provider 'lba'.*Did you mean 'lab\/count-2'\?$/m);
  assert.match(checked.stdout, /^round +error +.*parley\.yaml:10: routes\.round\.fallbacks: 'round' leads back/m);

  const parley = await startParley(t, { folder });
  await parley.makePeople();
  const routes = async () => (await parley.ask("GET", "/api/v1/routes", { local: true })).json.routes;
  assert.deepEqual((await routes()).map((one: any) => [one.name, one.status, one.source]),
    [["fast.1", "ok", "file"], ["slow", "ok", "file"], ["typo", "error", "file"], ["round", "error", "file"]]);
  const ask = (model: string) => parley.ask("POST", "/v1/chat/completions", { key: parley.user.key, body: { model, messages: [{ role: "user", content: "x" }] } });
  assert.equal((await ask("fast.1")).json.choices[0].message.content, "1 2 ");
  const refused = await ask("typo");
  assert.match(refused.json.error.message, /route 'typo' is not usable.*there is no provider 'lba'/);
  assert.match((await ask("fsat.1")).json.error.message, /there is no model 'fsat\.1'/);
  const listed = (await parley.ask("GET", "/v1/models", { key: parley.user.key })).json.data;
  assert.deepEqual(listed.slice(0, 2).map((one: any) => [one.id, one.owned_by]), [["fast.1", "parley"], ["slow", "parley"]]);
  assert.ok(!listed.some((one: any) => one.id === "typo"));
  assert.equal((await parley.ask("GET", "/v1/models/fast.1", { key: parley.user.key })).json.owned_by, "parley");
  assert.equal((await parley.ask("GET", "/v1/models/typo", { key: parley.user.key })).status, 404);
  const models = (await parley.ask("GET", "/api/v1/models", { local: true })).json.models;
  assert.match(models.find((one: any) => one.id === "slow").description, /lab\/count-3/);

  await t.test("changed while it runs", async () => {
    const changed = await patch(parley, { "routes.new.targets": "lab/count-3", "router.attempts": 2, "prices.lab/count-3": "in=1 out=2", "chat.default_model": "new" });
    assert.equal(changed.status, 200, changed.text);
    assert.equal((await ask("new")).json.choices[0].message.content, "1 2 3 ");
    assert.equal((await parley.ask("GET", "/api/v1/models", { local: true })).json.default_model, "new");
    for (const [body, field] of [[{ "routes.new.tagets": "x" }, "routes.new.tagets"], [{ "prices.x": "cheap" }, "prices.x"], [{ "router.cost_max_usd": "a lot" }, "router.cost_max_usd"]] as const) {
      const wrong = await patch(parley, body);
      assert.ok(wrong.status >= 400 && wrong.status < 500, wrong.text);
      assert.equal(wrong.json.error.field, field);
    }
    assert.equal((await patch(parley, { "routes.new.targets": null, "chat.default_model": null })).status, 200);
    assert.equal((await ask("new")).status, 404);
    assert.equal((await routes()).length, 4);
  });
});

test("a provider made in the browser; its key is sealed and told to nobody", async (t) => {
  const fake = await startFake(t, ["--key", `${SECRET}-right`]);
  const parley = await startParley(t);
  await parley.ask("POST", "/api/v1/users", { local: true, body: { email: "boss@example.org", role: "admin", password: "long enough" } });
  const cookie = cookieOf(await parley.ask("POST", "/api/v1/session", { body: { email: "boss@example.org", password: "long enough" } }));
  const change = (body: object) => parley.ask("PATCH", "/api/v1/settings", { cookie, origin: parley.url, body });
  const provider = async () => (await parley.ask("POST", "/api/v1/providers/lab/check", { cookie, origin: parley.url })).json?.provider;
  const made = await change({ "providers.lab.kind": "openai-compatible", "providers.lab.base_url": `${fake.url}/v1`, "providers.lab.api_key": `${SECRET}-wrong` });
  assert.equal(made.status, 200, made.text);
  assert.ok(!made.text.includes(SECRET));
  const refused = await eventually("it is asked", async () => { const one = await provider(); return one?.status === "error" && one; });
  assert.match(refused.message, /./);
  assert.ok(!JSON.stringify(refused).includes(SECRET));
  assert.equal((await change({ "providers.lab.api_key": `${SECRET}-right` })).status, 200);
  const good = await provider();
  assert.deepEqual([good.status, good.source, good.dialect], ["ok", "stored", "openai_chat"], JSON.stringify(good));
  assert.ok(good.model_count > 3);
  const models = (await parley.ask("GET", "/api/v1/models", { cookie })).json;
  assert.ok(models.models.some((model: any) => model.id === "lab/echo"));
  const answer = await parley.ask("POST", "/v1/chat/completions", { key: parley.user.key, body: { model: "lab/count-2", messages: [{ role: "user", content: "x" }] } });
  assert.equal(answer.json.choices[0].message.content, "1 2 ");
  for (const path of ["/api/v1/settings", "/api/v1/providers", "/api/v1/models", "/metrics"])
    assert.ok(!(await parley.ask("GET", path, { cookie })).text.includes(SECRET), path);
  const setting = await find(parley, "providers.lab.api_key");
  assert.deepEqual([setting.value, setting.type, setting.source], ["********", "secret", "stored"]);

  await t.test("many long secrets at once", async () => {
    const many = Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`providers.many${i}.api_key`, "k".repeat(4000)]));
    assert.equal((await change(many)).status, 200);
    assert.equal((await change(Object.fromEntries(Object.keys(many).map((key) => [key, null])))).status, 200);
    assert.equal((await change({ "providers.lab.api_key": "k".repeat(4001) })).status, 413);
    assert.equal((await parley.ask("GET", "/readyz")).status, 200);
  });

  await t.test("on disk it is sealed, also in a backup", async () => {
    const backup = join(parley.folder, "backup.db");
    assert.equal((await parley.ask("POST", "/api/v1/backup", { local: true, body: { path: backup } })).status, 200);
    assert.ok(!readFileSync(backup).includes(SECRET));
    await parley.stop();
    const files = filesBelow(parley.data);
    assert.ok(files.some(([name]) => name.endsWith("parley.db")));
    for (const [name, bytes] of files) assert.ok(!bytes.includes(SECRET), name);
    const again = await startParley(t, { folder: parley.folder });
    again.user = parley.user;
    await eventually("the key is known again", async () =>
      (await again.ask("POST", "/v1/chat/completions", { key: parley.user.key, body: { model: "lab/count-2", messages: [{ role: "user", content: "x" }] } })).status === 200);
    const gone = await again.ask("PATCH", "/api/v1/settings", { local: true, body: { "providers.lab.kind": null, "providers.lab.base_url": null, "providers.lab.api_key": null } });
    assert.equal(gone.status, 200);
    assert.equal((await again.ask("POST", "/v1/chat/completions", { key: parley.user.key, body: { model: "lab/count-2", messages: [{ role: "user", content: "x" }] } })).status, 404);
  });
});

test("an Ollama is found by its usual name; the environment names the usual providers", async (t) => {
  const fake = await startFake(t);
  const host = fake.url.replace("http://", "");
  const parley = await startParley(t, { env: { OLLAMA_HOST: host, OPENAI_API_KEY: SECRET, OPENAI_BASE_URL: `${fake.url}/v1/`, ANTHROPIC_API_KEY: SECRET, ANTHROPIC_BASE_URL: fake.url, GOOGLE_API_KEY: SECRET, GEMINI_BASE_URL: `${fake.url}/v1beta` } });
  for (const name of ["ollama", "openai", "anthropic", "gemini"]) {
    const { json } = await parley.ask("POST", `/api/v1/providers/${name}/check`, { local: true });
    assert.deepEqual([json.provider.status, json.provider.source], ["ok", "environment"], JSON.stringify(json));
    const answer = await parley.ask("POST", "/v1/chat/completions", { key: parley.user.key, body: { model: `${name}/count-2`, messages: [{ role: "user", content: "x" }] } });
    assert.equal(answer.json.choices?.[0].message.content, "1 2 ", answer.text);
  }
  const none = await parley.ask("POST", "/api/v1/providers/nobody/check", { local: true });
  assert.deepEqual([none.status, none.json.error.field], [404, "name"]);
});
