import type { World } from './world.ts';

/** So long may pass from a keeper's last answer to the proposal that relies on it (R17). */
const KEEPER_MS = 4_000;

/**
 * Promise 1: an acknowledged write that was not flushed may be lost only if every in-sync replica
 * lost its power since, or the last one did while the removal of the others was being committed.
 */
export function lossIsLegitimate(world: World): boolean {
  const sinceMs = world.history.unflushedSinceMs;
  if (sinceMs === null) return false;
  const { replicas } = world.keeper.current.record;
  const inSync = replicas.filter(({ state }) => state === 'inSync');
  const all = inSync.every(({ id, node }) => lostPowerWithin(world, id, node, sinceMs));
  return all && keepersWereThere(world, sinceMs);
}

/** It was in sync when it lost power: a rebuild since would have given it everything. */
function lostPowerWithin(world: World, id: string, node: string, sinceMs: number): boolean {
  const joinedAtMs = Math.max(sinceMs, joinedMs(world, id));
  return world.powerLosses.some((loss) => loss.node === node && loss.atMs >= joinedAtMs);
}

/** A member that joins counts from before its proposal on (R3): a power cut in between hits it. */
function joinedMs(world: World, id: string): number {
  let joinedAtMs = 0;
  let inSync = true;
  for (const { record, sentAtMs } of world.keeper.commits) {
    const member = record.replicas.find((each) => each.id === id);
    if (member === undefined) continue;
    if (member.state === 'inSync' && !inSync) joinedAtMs = sentAtMs;
    inSync = member.state === 'inSync';
  }
  return joinedAtMs;
}

/**
 * Whoever was removed since, and would still have it all, left somebody behind who had lost nothing
 * when that was proposed.
 */
function keepersWereThere(world: World, sinceMs: number): boolean {
  const { commits } = world.keeper;
  return commits.every((commit, index) => {
    const before = commits[index - 1];
    if (commit.committedAtMs < sinceMs || before === undefined) return true;
    const kept = commit.record.replicas.filter(({ state }) => state === 'inSync');
    const keptIds = new Set(kept.map(({ id }) => id));
    const lostThem = before.record.replicas.some(
      ({ id, node, state }) =>
        state === 'inSync' && !keptIds.has(id) && !lostPowerWithin(world, id, node, sinceMs),
    );
    if (!lostThem) return true;
    const untilMs = commit.sentAtMs - KEEPER_MS;
    return kept.some(
      ({ node }) =>
        !world.powerLosses.some(
          (loss) => loss.node === node && loss.atMs >= sinceMs && loss.atMs < untilMs,
        ),
    );
  });
}
