import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafts, joinTexts } from "../src/model/drafts.ts";

function memory() {
  const map = new Map<string, string>();
  return {
    map,
    getItem: (key: string) => map.get(key) ?? null,
    setItem: (key: string, value: string) => void map.set(key, value),
    removeItem: (key: string) => void map.delete(key),
    get length() {
      return map.size;
    },
    key: (index: number) => [...map.keys()][index] ?? null,
  };
}

test("a draft is there again, per conversation", () => {
  const storage = memory();
  new Drafts(storage).write("c1", "half a thou");
  assert.equal(new Drafts(storage).read("c1"), "half a thou");
  assert.equal(new Drafts(storage).read("c2"), "");
});

test("what was sent stays until it is confirmed", () => {
  const storage = memory();
  const drafts = new Drafts(storage);
  drafts.write("new", "a thought");
  drafts.moveToPending("new", "a thought");
  assert.equal(drafts.read("new"), "");
  assert.equal(new Drafts(storage).takeUnconfirmed("new"), "a thought", "a reload before `accepted`");
  drafts.moveToPending("new", "another");
  drafts.confirm("new");
  assert.equal(drafts.takeUnconfirmed("new"), "");
  assert.equal(storage.map.size, 0, "nothing is left behind");
});

test("two unconfirmed texts are both kept", () => {
  const drafts = new Drafts(memory());
  drafts.moveToPending("new", "one");
  drafts.moveToPending("new", "two");
  assert.equal(drafts.takeUnconfirmed("new"), "one\n\ntwo");
});

test("a storage that refuses does not stop the typing", () => {
  const refuse = () => {
    throw new Error("full");
  };
  const drafts = new Drafts({ getItem: refuse, setItem: refuse, removeItem: refuse, length: 0, key: refuse });
  drafts.write("c1", "text");
  assert.equal(drafts.read("c1"), "");
});

test("joining leaves out what is blank", () => {
  assert.equal(joinTexts("", "b"), "b");
  assert.equal(joinTexts("a", " "), "a");
  assert.equal(joinTexts("a", "b"), "a\n\nb");
});

test("drafts are kept for their writer, and thrown away for the next person", () => {
  const storage = memory();
  storage.setItem("parley.theme", "dark");
  const drafts = new Drafts(storage);
  assert.equal(drafts.claim("ada"), false);
  drafts.write("new", "a secret");
  drafts.moveToPending("c1", "another");
  assert.equal(new Drafts(storage).claim("ada"), false);
  assert.equal(drafts.read("new"), "a secret");
  assert.equal(drafts.claim("grace"), true);
  assert.equal(drafts.read("new"), "");
  assert.equal(drafts.takeUnconfirmed("c1"), "");
  assert.equal(storage.getItem("parley.theme"), "dark");
});
