/** What the members hold, read past the target's choice of one. */
import { LOGICAL_BLOCK_BYTES, REGION_BYTES } from '../../../core/limits.ts';
import { KiB } from '../../../core/units.ts';
import { Op } from '../../../core/wire/frame.ts';
import { request } from '../../../target/replication/requests.ts';
import type { TargetHost } from './target-host.ts';
import type { World } from './world.ts';

const STEP_BYTES = 64 * KiB;

/** Ranges of STEP_BYTES that any write ever touched, ascending. */
export function touchedRanges(world: World): number[] {
  const steps = new Set<number>();
  for (const sector of world.history.writtenSectors) {
    steps.add(Math.floor((sector * LOGICAL_BLOCK_BYTES) / STEP_BYTES));
  }
  return [...steps].sort((one, other) => one - other).map((step) => step * STEP_BYTES);
}

export const TOUCHED_BYTES = STEP_BYTES;

/**
 * Null, or where members in sync hold different bytes. Only while no write is in flight. Checksums
 * over all, as the product takes them, and the bytes themselves where anything was written.
 */
export async function differenceBetweenMembers(world: World): Promise<string | null> {
  const target = world.currentTarget;
  if (target === null) return 'no target serves';
  target.compared = true;
  try {
    return await difference(world, target);
  } finally {
    target.compared = false;
  }
}

async function difference(world: World, target: TargetHost): Promise<string | null> {
  const { record } = world.keeper.current;
  const ids = record.replicas.filter(({ state }) => state === 'inSync').map(({ id }) => id);
  const ports = ids.map((id) => target.coordinator.portOf(id));
  const compare = async (
    op: typeof Op.read | typeof Op.checksum,
    offsetBytes: number,
    lengthBytes: number,
  ): Promise<string | null> => {
    const all = await Promise.all(
      ports.map((port) => request(port, op, { offsetBytes, lengthBytes })),
    );
    const at = all.findIndex((found) => all[0]?.equals(found) === false);
    if (at < 0) return null;
    const what = op === Op.read ? 'bytes' : 'checksums';
    return `${ids[0]} and ${ids[at]} hold different ${what} at ${offsetBytes}+${lengthBytes}`;
  };
  for (let at = 0; at < world.options.sizeBytes; at += REGION_BYTES) {
    const found = await compare(Op.checksum, at, REGION_BYTES);
    if (found !== null) return found;
  }
  for (const offsetBytes of touchedRanges(world)) {
    const found = await compare(Op.read, offsetBytes, STEP_BYTES);
    if (found !== null) return found;
  }
  return null;
}
