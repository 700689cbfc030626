import assert from "node:assert/strict";
import { test } from "node:test";
import { leafBelow, leafToShow, pathTo, siblingsOf } from "../src/model/tree.ts";
import { messageMap } from "./helpers.ts";

// a1 - b1 - c1 - d1
//    \ b2 - c2
// a2
const tree = messageMap(["a1", null], ["b1", "a1"], ["c1", "b1"], ["d1", "c1"], ["b2", "a1"], ["c2", "b2"], ["a2", null]);
const ids = (leaf: string | null) => pathTo(tree, leaf).map((message) => message.id);

test("the path leads from the first message to the leaf", () => {
  assert.deepEqual(ids("d1"), ["a1", "b1", "c1", "d1"]);
});

test("from a message in the middle the path goes on to the newest below it", () => {
  assert.deepEqual(ids("b1"), ["a1", "b1", "c1", "d1"]);
  assert.deepEqual(ids("a1"), ["a1", "b2", "c2"]);
});

test("without a leaf, or with one that is gone, the newest branch is shown", () => {
  assert.deepEqual(ids(null), ["a2"]);
  assert.deepEqual(ids("gone"), ["a2"]);
  assert.deepEqual(pathTo(new Map(), null), []);
});

test("siblings are in order of time, also at the root", () => {
  assert.deepEqual(siblingsOf(tree, tree.get("b2")!).map(({ id }) => id), ["b1", "b2"]);
  assert.deepEqual(siblingsOf(tree, tree.get("a1")!).map(({ id }) => id), ["a1", "a2"]);
  assert.equal(leafBelow(tree, "b2"), "c2");
});

test("messages that hang in a circle end the path instead of the page", () => {
  const circle = messageMap(["x", "y"], ["y", "x"]);
  assert.deepEqual(pathTo(circle, null), []);
});

test("another tab's new leaf is followed only when it goes on from here", () => {
  assert.equal(leafToShow(tree, "b1", "d1"), "d1");
  assert.equal(leafToShow(tree, "c2", "d1"), "c2");
  assert.equal(leafToShow(tree, null, "d1"), "d1");
});
