/** SYNCHRONIZE CACHE (SBC-3 §5.22, §5.23) and PRE-FETCH (§5.8, §5.9). */
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import type { Sense } from '../sense.ts';
import { type CommandDescriptor, describeCommand } from './descriptor.ts';
import { readExtentToEnd } from './extent.ts';
import { answerGood, usage10, usage16 } from './read-write.ts';

const IMMEDIATE = 0x02;
/** Obsolete since SBC-3, as is its meaning: only non-volatile caches. */
const SYNC_NV = 0x04;

function begin(unit: LogicalUnit, task: ScsiTask): Sense | null {
  return readExtentToEnd(unit, task, Number.POSITIVE_INFINITY);
}

/**
 * The whole cache, whatever the range: a flush has none. With IMMED=1 too GOOD comes when it is
 * done: GOOD before that would not be durable, and nothing in SBC-3 forbids to be late.
 */
function runSynchronize(_unit: LogicalUnit, task: ScsiTask): void {
  task.flush(answerGood);
}

/**
 * GOOD and not CONDITION MET: the blocks were not all put into a cache of ours (SBC-3 §5.8); each
 * replica has its own, and which of them will answer is not known.
 */
function runPrefetch(_unit: LogicalUnit, task: ScsiTask): void {
  task.good();
}

const synchronize = { begin, run: runSynchronize };
const prefetch = { begin, run: runPrefetch };

export const CACHE_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({ name: 'PRE-FETCH (10)', opcode: 0x34, usage: usage10(IMMEDIATE), ...prefetch }),
  describeCommand({
    name: 'SYNCHRONIZE CACHE (10)',
    opcode: 0x35,
    usage: usage10(IMMEDIATE | SYNC_NV),
    ...synchronize,
  }),
  describeCommand({ name: 'PRE-FETCH (16)', opcode: 0x90, usage: usage16(IMMEDIATE), ...prefetch }),
  describeCommand({
    name: 'SYNCHRONIZE CACHE (16)',
    opcode: 0x91,
    usage: usage16(IMMEDIATE | SYNC_NV),
    ...synchronize,
  }),
];
