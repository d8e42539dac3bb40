/** What stands in the files of the state folder. */
import { z } from 'zod';
import { DEFAULT_DOOR, doorSchema } from '../../core/api/index.ts';
import { STATE_FORMAT_VERSION } from './json-file.ts';

const formatVersion = z.literal(STATE_FORMAT_VERSION).optional();

/** agent.json: whose state this is, and the pools that it knows by their id (R6). */
export const agentFileSchema = z.object({
  formatVersion,
  node: z.string(),
  pools: z.array(z.object({ path: z.string(), poolId: z.string() })),
});
export type AgentFile = z.infer<typeof agentFileSchema>;

/** pool.json in a pool's folder: minted once (R6). */
export const poolFileSchema = z.object({
  formatVersion,
  poolId: z.uuid(),
  /** The node whose agent minted it: two agents never share a pool. */
  node: z.string(),
});
export type PoolFile = z.infer<typeof poolFileSchema>;

/** store-revision.json: the highest revision of the store seen so far (R5). */
export const revisionFileSchema = z.object({ formatVersion, revision: z.number().int() });

export const processIdentitySchema = z.object({
  pid: z.number().int().positive(),
  startTicks: z.number().int(),
  bootId: z.string(),
});

/** instances/replica-ID.json: a replica that this node keeps. */
export const replicaSpecSchema = z.object({
  formatVersion,
  replicaId: z.uuid(),
  volumeId: z.uuid(),
  incarnation: z.uuid(),
  sizeBytes: z.number().int().positive(),
  blockSizeBytes: z.number().int().positive(),
  poolId: z.uuid(),
  token: z.string(),
  /** Its folder was made, with identity; false: a crash may have come before that. */
  isMade: z.boolean(),
  process: processIdentitySchema.nullable(),
});
export type ReplicaSpec = z.infer<typeof replicaSpecSchema>;

/** One run of a target on this node, for "known dead" (R11). */
export const targetRunSchema = z.object({
  instance: z.string(),
  /** Null: started, but the agent ended before it could write the pid down. */
  process: processIdentitySchema.nullable(),
});
export type TargetRun = z.infer<typeof targetRunSchema>;

/** instances/target-VOLUME.json: the target of a volume that is attached here. */
export const targetSpecSchema = z.object({
  formatVersion,
  volumeId: z.uuid(),
  volumeName: z.string(),
  attachmentToken: z.string(),
  iqn: z.string(),
  portal: z.string(),
  storeAddress: z.string(),
  replicaToken: z.string(),
  wanted: z.enum(['running', 'stopped']),
  /** Why it must not be started again for this attachment; null if it may. */
  heldFor: z.string().nullable(),
  /** Oldest first; the last one is the present run. */
  runs: z.array(targetRunSchema),
});
export type TargetSpec = z.infer<typeof targetSpecSchema>;

export const fileSystemStateSchema = z.object({
  kind: z.enum(['none', 'ext4', 'xfs']),
  uuid: z.string().nullable(),
  state: z.enum(['blank', 'formatting', 'formatted']),
});

/** attachments/VOLUME.json: who holds the volume on this node, and how. */
export const attachmentSchema = z.object({
  formatVersion,
  volumeId: z.uuid(),
  volumeName: z.string(),
  kind: z.enum(['mount', 'device', 'portal']),
  /** One at a time. */
  door: doorSchema.default(DEFAULT_DOOR),
  initiatorNames: z.array(z.string()),
  /**
   * attaching → attached → detaching → (no file). A crash in the first or the last ends in
   * everything undone; `detaching` also waits for the apiserver to be told.
   */
  phase: z.enum(['attaching', 'attached', 'detaching']),
  bootId: z.string(),
  token: z.string().nullable(),
  iqn: z.string().nullable(),
  portal: z.string().nullable(),
  device: z.string().nullable(),
  mountpoint: z.string().nullable(),
  /** Of the user-space attach. */
  processes: z.array(processIdentitySchema),
  /** Null: the one boolean reference of a front door without mount ids. */
  consumers: z.array(
    z.object({
      id: z.string().nullable(),
      readOnly: z.boolean(),
      label: z.string().default(''),
      mountOptions: z.array(z.string()).default([]),
    }),
  ),
  /** Bind mounts for consumers that staged it; written before the mount, removed after. */
  published: z
    .array(
      z.object({
        /** As the caller named it; and as the kernel sees it. */
        targetPath: z.string(),
        place: z.string(),
        /** The consumer's id. */
        stagingPath: z.string(),
        readOnly: z.boolean(),
        mountOptions: z.array(z.string()),
        label: z.string(),
      }),
    )
    .default([]),
});
export type Attachment = z.infer<typeof attachmentSchema>;
export type Consumer = Attachment['consumers'][number];
export type Published = Attachment['published'][number];

/** volumes.json: what Get and List answer from while the apiserver is away. */
export const knownVolumeSchema = z.object({
  id: z.string(),
  name: z.string(),
  sizeBytes: z.number(),
  replicas: z.number(),
  fileSystem: z.enum(['ext4', 'xfs', 'none']),
  fileSystemOptions: z.string(),
  createdAt: z.string(),
  /** Of the record, as last seen: mounting again does not need the apiserver. */
  state: fileSystemStateSchema.nullable(),
});
export type KnownVolume = z.infer<typeof knownVolumeSchema>;
export const volumesFileSchema = z.object({ formatVersion, volumes: z.array(knownVolumeSchema) });
