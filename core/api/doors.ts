/** The front doors: through which one a consumer came, and who holds a volume. */
import { z } from 'zod';

/** `csi`: a CSI orchestrator that was not named. */
export const doorSchema = z.enum(['docker', 'kubernetes', 'nomad', 'mesos', 'csi', 'mayactl']);
export type Door = z.infer<typeof doorSchema>;

/** Of a caller that does not say: a person, or a program of theirs. */
export const DEFAULT_DOOR: Door = 'mayactl';

/** How the one reference without an id is shown; no consumer's id is empty. */
export const NAMELESS_CONSUMER = '(no id)';

export const consumerIdSchema = z.string().min(1).max(512);

/** For people: `pod default/web`, `allocation 3f2a…`; told by the door, never relied upon. */
export const consumerLabelSchema = z.string().max(256);

/** One consumer of a volume: a mount of Docker's, a staging of CSI's, an attach of mayactl's. */
export const holderSchema = z.object({
  node: z.string(),
  door: doorSchema,
  /** NAMELESS_CONSUMER for the one without an id. */
  id: z.string(),
  label: z.string(),
  /** Where it is published besides the agent's own mount point: CSI target paths. */
  paths: z.array(z.string()),
});
export type Holder = z.infer<typeof holderSchema>;

/** Set aside for one node and door before it is attached there (CSI ControllerPublishVolume). */
export const claimSchema = z.object({
  node: z.string(),
  door: doorSchema,
  readOnly: z.boolean(),
});
export type Claim = z.infer<typeof claimSchema>;

/** `kubernetes (pod default/web)`, `docker (4f2a81b0c3d5)`, `mayactl`: for "in use by". */
export function holderText({ door, id, label }: Pick<Holder, 'door' | 'id' | 'label'>): string {
  const name = label === '' ? shortId(id, door) : label;
  return name === door ? door : `${door} (${name})`;
}

/** Docker's ids have 64 digits; the first twelve are what its own commands show. */
function shortId(id: string, door: Door): string {
  const own = id.startsWith(`${door}:`) ? id.slice(door.length + 1) : id;
  return /^[0-9a-f]{64}$/.test(own) ? own.slice(0, 12) : own;
}
