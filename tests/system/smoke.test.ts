// The program is there and says what it is. Tests find it by PARLEY_PROGRAM, which ./dev sets.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { promisify } from "node:util";

const program = process.env["PARLEY_PROGRAM"] ?? "build/debug/src/app/parley";

test("parley version", { skip: !existsSync(program) && `${program} is not built` }, async () => {
  const { stdout } = await promisify(execFile)(program, ["version"]);
  assert.match(stdout, /\d+\.\d+\.\d+/);
});
