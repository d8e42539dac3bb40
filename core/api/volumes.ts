/** The apiserver's volumes: what is asked and what is answered. */
import { z } from 'zod';
import { VOLUME_BYTES_MAX, VOLUME_BYTES_MIN, VOLUME_BYTES_STEP } from '../units.ts';
import { claimSchema, doorSchema, holderSchema } from './doors.ts';
import { nodeNameSchema, zoneNameSchema } from './nodes.ts';

/** A label for people and orchestrators (`name[0]` is Nomad's); never part of a path or IQN. */
export const volumeNameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_.\-[\]]{0,127}$/,
    'a volume name starts with a letter or digit, goes on with letters, digits or _ . - [ ] ' +
      'and has at most 128 characters',
  );

/** Lower-case UUID, or a name. */
export const volumeReferenceSchema = z.string().min(1).max(128);

export const REPLICAS_MAX = 7;

export const createVolumeSchema = z.strictObject({
  name: volumeNameSchema,
  /** Bytes; the default is DEFAULT_VOLUME_BYTES. */
  sizeBytes: z
    .number()
    .int()
    .min(VOLUME_BYTES_MIN)
    .max(VOLUME_BYTES_MAX)
    .multipleOf(VOLUME_BYTES_STEP)
    .optional(),
  /** Copies, each on another node. Default: 3, or the number of nodes when fewer. */
  replicas: z.number().int().min(1).max(REPLICAS_MAX).optional(),
  /** What attach makes on it at first mount; `none`: raw block. Default ext4. */
  fileSystem: z.enum(['ext4', 'xfs', 'none']).optional(),
  /** Extra mkfs options, one string as a user would type it; a safe subset is accepted. */
  fileSystemOptions: z.string().max(256).optional(),
  /** Only pools of this name. */
  pool: z.string().min(1).max(64).optional(),
  /** Replicas only on these nodes; no order. */
  nodes: z.array(nodeNameSchema).min(1).max(64).optional(),
  /** Replicas only on nodes of these zones. */
  zones: z.array(zoneNameSchema).min(1).max(64).optional(),
  /**
   * Replicas first on these nodes, in this order, where they have the room: where the first
   * consumer will run. A wish: it is no part of what makes two requests equal.
   */
  preferredNodes: z.array(nodeNameSchema).max(64).optional(),
});
export type CreateVolume = z.infer<typeof createVolumeSchema>;

export const DEFAULT_VOLUME_BYTES = 5 * 2 ** 30;
export const DEFAULT_REPLICAS = 3;

export const memberViewSchema = z.object({
  id: z.string(),
  node: z.string(),
  /** From the record. */
  state: z.enum(['inSync', 'rebuilding', 'stale']),
  poolId: z.string(),
  /** From the node's last report. */
  process: z.enum(['running', 'starting', 'stopped', 'failed', 'unknown']),
  /** Bytes its layers take. */
  allocatedBytes: z.number(),
  /** Of a rebuild in progress, as the target tells; null without one. */
  rebuild: z.object({ copiedBytes: z.number(), totalBytes: z.number() }).nullable(),
  /** Why it is not in sync or not running; empty when all is well. */
  reason: z.string(),
});

export const volumeViewSchema = z.object({
  id: z.string(),
  name: z.string(),
  sizeBytes: z.number(),
  replicas: z.number(),
  fileSystem: z.enum(['ext4', 'xfs', 'none']),
  fileSystemOptions: z.string(),
  pool: z.string().nullable(),
  createdAt: z.string(),
  /** creating → ready → deleting → (gone) */
  phase: z.enum(['creating', 'ready', 'deleting']),
  /** healthy: all members in sync; degraded: fewer; faulted: nobody can serve. */
  condition: z.enum(['healthy', 'degraded', 'faulted', 'unknown']),
  /** One sentence when not healthy. */
  message: z.string(),
  members: z.array(memberViewSchema),
  attachment: z.object({ node: z.string(), initiatorNames: z.array(z.string()) }).nullable(),
  target: z
    .object({
      node: z.string(),
      state: z.enum(['starting', 'serving', 'waiting', 'stopped', 'failed', 'unknown']),
      portal: z.string(),
      iqn: z.string(),
      reason: z.string(),
    })
    .nullable(),
  nodes: z.array(z.string()),
  zones: z.array(z.string()),
  /** Through which front door the attachment was made. */
  door: doorSchema.nullable(),
  claim: claimSchema.nullable(),
  /** Who holds it, as the nodes last reported: for `in use by`. */
  consumers: z.array(holderSchema),
});
export type VolumeView = z.infer<typeof volumeViewSchema>;
export type MemberView = z.infer<typeof memberViewSchema>;

export const volumeListSchema = z.object({ volumes: z.array(volumeViewSchema) });

/** POST /v1/volumes/:volume/attach — writes the attachment into the record (R4). */
export const attachVolumeSchema = z.strictObject({
  node: z.string().min(1).max(253),
  initiatorNames: z.array(z.string().min(1).max(223)).min(1).max(16),
  /** Absent: DEFAULT_DOOR. */
  door: doorSchema.optional(),
});
export const attachAnswerSchema = z.object({
  volume: volumeViewSchema,
  token: z.string(),
  /** `127.0.0.1:PORT`, chosen once for the volume and kept. */
  portal: z.string(),
  iqn: z.string(),
});

/** POST /v1/volumes/:volume/detach — clears it; idempotent; another node's stays: inUse. */
export const detachVolumeSchema = z.strictObject({ node: z.string().min(1).max(253) });

/**
 * POST /v1/volumes/:volume/claim — sets it aside for one node and door; idempotent. `inUse`:
 * claimed or attached elsewhere or through another door; `exists`: claimed there, readOnly differs.
 */
export const claimVolumeSchema = z.strictObject({
  node: z.string().min(1).max(253),
  door: doorSchema,
  readOnly: z.boolean().optional(),
});
export type ClaimVolume = z.infer<typeof claimVolumeSchema>;

/** POST /v1/volumes/:volume/unclaim — idempotent; no such volume: fine. */
export const unclaimVolumeSchema = z.strictObject({
  /** Only this node's claim; absent: whoever's it is. */
  node: z.string().min(1).max(253).optional(),
});
export type UnclaimVolume = z.infer<typeof unclaimVolumeSchema>;

/** POST /v1/capacity — the largest volume that could be placed now. */
export const capacityRequestSchema = z.strictObject({
  /** Absent: the default count, as for a new volume. */
  replicas: z.number().int().min(1).max(REPLICAS_MAX).optional(),
  pool: z.string().min(1).max(64).optional(),
  nodes: z.array(nodeNameSchema).min(1).max(64).optional(),
  zones: z.array(zoneNameSchema).min(1).max(64).optional(),
});
export type CapacityRequest = z.infer<typeof capacityRequestSchema>;
export const capacityAnswerSchema = z.object({
  /** 0 when none can be placed. */
  maximumVolumeBytes: z.number(),
});

/** GET and PUT /v1/volumes/:volume/record. `record` is checked by core/volume's parseRecord. */
export const swapActorSchema = z.union([
  z.strictObject({ kind: z.literal('target'), instance: z.string().min(1).max(64) }),
  z.strictObject({ kind: z.literal('agent') }),
]);
export const recordAnswerSchema = z.object({
  version: z.number().int(),
  record: z.unknown(),
  /** Where each replica listens now, by replica id, as its node last reported. */
  addresses: z.record(z.string(), z.string()),
  /** Highest store revision, for R5. */
  revision: z.number().int(),
});
export const putRecordSchema = z.strictObject({
  /** The version that `record` replaces. */
  version: z.number().int().min(0),
  record: z.unknown(),
  actor: swapActorSchema,
});
export const putRecordAnswerSchema = z.object({ version: z.number().int() });
