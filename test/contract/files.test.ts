/** The simulated files do what the real ones do: the same calls, the same answers. */
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { codeOf } from '../../core/errors.ts';
import type { File, Files } from '../../core/platform/index.ts';
import { nodePlatform } from '../../core/platform/node/index.ts';
import { SimRandom } from '../../core/platform/sim/index.ts';
import { simulate } from '../fixtures/simulation.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const STEPS = 250;
const SEEDS = [1, 2, 3, 63];
const NAMES = ['a', 'b', 'c'] as const;
const FILE_BYTES_MAX = 60_000;

/** One of the two sides, with the files that are open on it, by number. */
interface Side {
  readonly files: Files;
  readonly root: string;
  readonly open: Map<number, File>;
  readonly drive: <Value>(promise: Promise<Value>) => Promise<Value>;
}

/** What to do on a side; what it gives must be the same on both. */
type Step = (side: Side) => Promise<unknown>;

function callback<Value>(
  start: (done: (error: Error | null, value?: Value) => void) => void,
): Promise<Value | undefined> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value) : reject(error)));
  });
}

async function outcomeOf(side: Side, step: Step): Promise<unknown> {
  try {
    const value = (await side.drive(step(side))) ?? null;
    return Buffer.isBuffer(value) ? value.toString('latin1') : value;
  } catch (error) {
    const code = codeOf(error);
    if (code === null) throw error;
    return code;
  }
}

/** A path of one to three names; what they mean changes all the time. */
function drawPath(random: SimRandom): string {
  const depth = random.pick([1, 1, 2, 2, 3]);
  return Array.from({ length: depth }, () => random.pick(NAMES)).join('/');
}

function drawName(random: SimRandom): readonly [string, Step] {
  const path = drawPath(random);
  const other = drawPath(random);
  const at = (side: Side, name = path): string => join(side.root, name);
  return random.pick<readonly [string, Step]>([
    [`mkdir ${path}`, (side) => side.files.makeFolder(at(side))],
    [`mkdir ${path}`, (side) => side.files.makeFolder(at(side))],
    [`list ${path}`, (side) => side.files.list(at(side))],
    [`exists ${path}`, (side) => side.files.exists(at(side))],
    [`rename ${path} ${other}`, (side) => side.files.rename(at(side), at(side, other))],
    [`remove ${path}`, (side) => side.files.remove(at(side))],
    [`sync ${path}`, (side) => side.files.syncFolder(at(side))],
    [`read whole ${path}`, (side) => side.files.readWhole(at(side), 40_000)],
    [
      `replace ${path}`,
      (side) => side.files.replaceWhole(at(side), Buffer.from(`content of ${path}`)),
    ],
    [
      `lock ${path}`,
      async (side) => {
        const lock = await side.files.lock(at(side));
        const again = await side.files.lock(at(side)).catch((error: unknown) => codeOf(error));
        await lock.release();
        return again;
      },
    ],
  ]);
}

function drawOpen(random: SimRandom, handle: number): readonly [string, Step] {
  const path = drawPath(random);
  const mode = random.pick(['create', 'create', 'write', 'read'] as const);
  return [
    `open ${mode} ${path} as ${handle}`,
    async (side) => {
      // Linux opens a folder for reading and fails later; the simulation fails at once.
      const folder = await side.files.list(join(side.root, path)).then(
        () => true,
        () => false,
      );
      if (folder) return 'folder';
      if (side.open.has(handle)) return 'in use';
      side.open.set(handle, await side.files.open(join(side.root, path), mode));
      return null;
    },
  ];
}

/** Works on an open file, which may have been renamed or removed since. */
function drawAccess(random: SimRandom, handle: number): readonly [string, Step] {
  const offsetBytes = random.below(FILE_BYTES_MAX);
  const lengthBytes = 1 + random.below(12_000);
  const data = random.bytes(lengthBytes);
  const on = (use: (file: File) => Promise<unknown>): Step => {
    return async (side) => {
      const file = side.open.get(handle);
      return file === undefined ? 'not open' : use(file);
    };
  };
  return random.pick<readonly [string, Step]>([
    [
      `write ${handle} ${offsetBytes}+${lengthBytes}`,
      on((file) => callback((done) => file.write(data, offsetBytes, (error) => done(error)))),
    ],
    [
      `read ${handle} ${offsetBytes}+${lengthBytes}`,
      on(async (file) => {
        const buffer = Buffer.alloc(lengthBytes);
        const readBytes = await callback<number>((done) => file.read(buffer, offsetBytes, done));
        return buffer.subarray(0, readBytes);
      }),
    ],
    [
      `punch ${handle} ${offsetBytes}+${lengthBytes}`,
      on((file) => callback((done) => file.punchHole(offsetBytes, lengthBytes, done))),
    ],
    [
      `truncate ${handle} ${offsetBytes}`,
      on((file) => callback((done) => file.truncate(offsetBytes, done))),
    ],
    [`size ${handle}`, on((file) => callback((done) => file.sizeBytes(done)))],
    [`datasync ${handle}`, on((file) => callback((done) => file.datasync(done)))],
  ]);
}

function drawClose(handle: number): readonly [string, Step] {
  return [
    `close ${handle}`,
    async (side) => {
      const file = side.open.get(handle);
      side.open.delete(handle);
      if (file !== undefined) await callback((done) => file.close(done));
      return null;
    },
  ];
}

function drawStep(random: SimRandom): readonly [string, Step] {
  const handle = random.below(4);
  const draw = random.fraction();
  if (draw < 0.4) return drawName(random);
  if (draw < 0.43) return drawClose(handle);
  return draw < 0.6 ? drawOpen(random, handle) : drawAccess(random, handle);
}

describe('simulated and real files give the same answers', () => {
  test.each(SEEDS)('to random calls, seed %d', async (seed) => {
    await using folder = await temporaryFolder('files');
    const simulation = simulate(seed);
    const real: Side = {
      files: nodePlatform().files,
      root: folder.path,
      open: new Map(),
      drive: (promise) => promise,
    };
    const simulated: Side = {
      files: simulation.machine('alpha').process('one').platform.files,
      root: '/',
      open: new Map(),
      drive: (promise) => simulation.finish(promise),
    };
    const random = new SimRandom(`files ${seed}`);
    const done: string[] = [];
    const answers = new Set<unknown>();
    for (let step = 0; step < STEPS; step += 1) {
      const [what, run] = drawStep(random);
      const expected = await outcomeOf(real, run);
      answers.add(expected);
      done.push(what);
      expect({ outcome: await outcomeOf(simulated, run), after: done.slice(-12) }).toEqual({
        outcome: expected,
        after: done.slice(-12),
      });
    }
    for (const side of [real, simulated]) {
      for (const handle of side.open.keys()) await side.drive(drawClose(handle)[1](side));
    }
    expect(answers).toContain('ENOENT');
    expect(answers.size).toBeGreaterThan(10);
  });
});
