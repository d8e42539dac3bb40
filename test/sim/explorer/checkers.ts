/** What must hold in every world. */
import { isServing, readableIds } from '../../../target/replication/views.ts';
import { accepts, cacheOf } from './machine.ts';
import { replicaOf, type World } from './world.ts';

/**
 * What a client of the rightful target would see now: every member that may answer a read has the
 * last acknowledged write or a later one.
 */
export function observe(world: World): World {
  if (world.violation !== null) return world;
  for (const target of world.targets) {
    const { state, instance } = target;
    if (target.life !== 'running' || !isServing(state)) continue;
    if (world.store.record.targetInstance !== instance || target.write !== null) continue;
    const readable = readableIds(state).filter((id) => {
      const member = state.members.find((candidate) => candidate.id === id);
      const sameCache = member?.facts?.cache === cacheOf(replicaOf(world, id).boot);
      const resumes = world.breaks.has('R15-resume-after-reboot');
      const index = world.targets.indexOf(target);
      return accepts(world, index, id) && (sameCache || resumes);
    });
    const values = readable.map((id) => replicaOf(world, id).value);
    const low = Math.min(...values);
    if (values.length > 0 && low < world.acknowledged) {
      const text = `write ${world.acknowledged} was acknowledged, ${instance} reads ${low}`;
      return { ...world, violation: `acknowledged writes survive: ${text}` };
    }
    if (new Set(values).size > 1) {
      const text = `${instance} reads ${values.join(' or ')}`;
      return { ...world, violation: `a block has one value: ${text}` };
    }
  }
  return world;
}
