/** One seed from beginning to end. */
import { messageOf } from '../../core/errors.ts';
import { lineOf, SimulationError } from '../../core/platform/sim/index.ts';
import type { Checker } from './checkers/checker.ts';
import { CHECKERS } from './checkers/index.ts';
import type { WorldEvent } from './world/events.ts';
import { TOUCHED_BYTES, touchedRanges } from './world/members.ts';
import type { WorldOptions } from './world/options.ts';
import { World } from './world/world.ts';

export interface Verdict {
  readonly seed: number | string;
  /** Null: every promise was kept. */
  readonly failure: { readonly checker: string; readonly sentence: string } | null;
  readonly traceHash: number;
  readonly eventCount: number;
  readonly simulatedMs: number;
  readonly commandCount: number;
  readonly lastEvents: readonly string[];
}

export interface RunOptions {
  readonly seed: number | string;
  readonly given?: Partial<WorldOptions>;
  /** Called with every line of the trace. */
  readonly onLine?: (line: string) => void;
  /** Called at the end, whatever it was. */
  readonly onEnd?: (world: World) => void;
}

/** The longest back-off of a rebuild is a minute; several may be needed one after the other. */
const HEAL_WITHIN_MS = 400_000;
const DRAIN_WITHIN_MS = 120_000;
/** Commands go on for so long after the last fault, while what was behind is rebuilt. */
const CALM_MS = 5_000;
const LAST_EVENTS = 60;

class Failed extends Error {
  readonly checker: string;

  constructor(checker: string, sentence: string) {
    super(sentence);
    this.checker = checker;
  }
}

export async function runSeed({ seed, given = {}, onLine, onEnd }: RunOptions): Promise<Verdict> {
  const world = await World.open(seed, given);
  const { trace } = world.simulation;
  if (onLine !== undefined) {
    const add = trace.add.bind(trace);
    trace.add = (atMs, where, what) => {
      onLine(lineOf(atMs, where, what));
      add(atMs, where, what);
    };
  }
  let failure: Verdict['failure'] = null;
  try {
    await runAll(world);
  } catch (error) {
    failure = failureOf(error);
  }
  onEnd?.(world);
  world.over = true;
  return {
    seed,
    failure,
    traceHash: trace.hash,
    eventCount: trace.count,
    simulatedMs: world.nowMs,
    commandCount: world.commandCount,
    lastEvents: failure === null ? [] : trace.last(LAST_EVENTS),
  };
}

function failureOf(error: unknown): NonNullable<Verdict['failure']> {
  if (error instanceof Failed) return { checker: error.checker, sentence: error.message };
  if (error instanceof SimulationError) {
    const [sentence = ''] = error.message.split('; the last events');
    const { cause } = error;
    const stack = cause instanceof Error ? `\n${cause.stack}` : '';
    const checker = error.code === 'notReached' ? 'it-ends-well' : 'no-crash';
    return { checker, sentence: sentence + stack };
  }
  return {
    checker: 'harness',
    sentence: error instanceof Error ? `${error.stack}` : messageOf(error),
  };
}

async function runAll(world: World): Promise<void> {
  const { simulation, options } = world;
  let broken: Failed | null = null;
  const checkers = CHECKERS.map((make): Checker => {
    const checker: Checker = make(world, (sentence) => {
      broken ??= new Failed(checker.name, sentence);
    });
    return checker;
  });
  const check = (): void => {
    if (broken !== null) throw broken;
  };
  const reach = async (done: () => boolean, withinMs: number, what: string): Promise<void> => {
    await simulation.runUntil(() => broken !== null || done(), withinMs, what);
    check();
  };
  world.listen((event: WorldEvent) => {
    if (event.kind === 'phase' && event.phase === 'serving') world.startsServing(event.target);
    for (const checker of checkers) checker.heard?.(event);
  });
  world.start();
  world.faults.start();
  const endMs = simulation.nowMs + options.faultsForMs;
  await reach(() => simulation.nowMs >= endMs, options.faultsForMs + 1_000, 'the end of faults');
  world.heal();
  const calmMs = simulation.nowMs + CALM_MS;
  await reach(() => simulation.nowMs >= calmMs, CALM_MS + 1_000, 'a while after the faults');
  world.quiesce();
  const settled = () => world.isWhole || world.needsOperator;
  await reach(settled, HEAL_WITHIN_MS, 'all in sync again');
  if (world.needsOperator) return;
  await reach(() => world.isQuiet, DRAIN_WITHIN_MS, 'the end of every command');
  await readAll(world, reach);
  for (const checker of checkers) {
    if (checker.quiet !== undefined) await simulation.finish(checker.quiet(), DRAIN_WITHIN_MS);
    check();
  }
  world.release();
  await reach(() => world.isReleased, DRAIN_WITHIN_MS, 'the release of the volume');
  for (const checker of checkers) checker.finish?.();
  check();
}

type Reach = (done: () => boolean, withinMs: number, what: string) => Promise<void>;

/** Everything that was ever written, through the target: the history judges it. */
async function readAll(world: World, reach: Reach): Promise<void> {
  const { initiator } = world;
  for (const offsetBytes of touchedRanges(world)) {
    initiator?.run({ kind: 'read', offsetBytes, lengthBytes: TOUCHED_BYTES });
  }
  await reach(() => world.isQuiet, DRAIN_WITHIN_MS, 'the end of the last reads');
}
