/**
 * The agent's API on its node: for the reconciler (replicas, targets) and for the front doors
 * (volumes, attach, detach). What a front door may ask goes through here and nowhere else.
 */
import { z } from 'zod';
import {
  claimSchema,
  consumerIdSchema,
  consumerLabelSchema,
  doorSchema,
  holderSchema,
} from './doors.ts';
import { createVolumeSchema } from './volumes.ts';

/** PUT /v1/replicas/:replicaId — makes the folder if it is not there, runs the process. */
export const putReplicaSchema = z.strictObject({
  volumeId: z.uuid(),
  incarnation: z.uuid(),
  sizeBytes: z.number().int().positive(),
  blockSizeBytes: z.number().int().positive(),
  poolId: z.uuid(),
  /** What a target must show in its hello. */
  token: z.string().min(16),
  /**
   * true: this replica is new, mint its identity if the folder is not there. false: it must be
   * there (the record names it): a missing folder is `dataLoss`, never made again (R6).
   */
  mint: z.boolean(),
  /** First copy of the record, stored with the identity when minted (R5). */
  record: z.unknown(),
});
export const replicaAnswerSchema = z.object({ address: z.string() });

/** DELETE /v1/replicas/:replicaId?volume=… — stops it and removes its files; gone: 204 too. */

/** PUT /v1/targets/:volumeId — runs the target for this attachment; idempotent by token. */
export const putTargetSchema = z.strictObject({
  attachmentToken: z.string().min(1),
  iqn: z.string(),
  /** `127.0.0.1:PORT`; the port is kept for the volume's life. */
  portal: z.string(),
  /** Of the apiserver, for the record. */
  storeAddress: z.string(),
  replicaToken: z.string().min(16),
});

/** DELETE /v1/targets/:volumeId — flushes, releases the record, stops. */

/** POST /v1/volumes/:volume/attach */
export const agentAttachSchema = z.strictObject({
  /** Who holds it: a mount id, `mayactl`, … Absent: the one boolean reference (dvdcli). */
  consumer: consumerIdSchema.optional(),
  /** Absent: DEFAULT_DOOR. A volume is held through one front door at a time. */
  door: doorSchema.optional(),
  label: consumerLabelSchema.optional(),
  /** mount: file system mounted; device: block device only; portal: target only. */
  as: z.enum(['mount', 'device', 'portal']),
  /** With `portal`: initiators that may log in; `any` alone: all. */
  initiatorNames: z.array(z.string().min(1).max(223)).max(16).optional(),
  readOnly: z.boolean().optional(),
});
export type AgentAttach = z.infer<typeof agentAttachSchema>;

export const agentAttachAnswerSchema = z.object({
  volumeId: z.string(),
  /** Where it is mounted; null unless `mount`. */
  mountpoint: z.string().nullable(),
  /** `/dev/loop3`, `/dev/sdb`; null for `portal`. */
  device: z.string().nullable(),
  portal: z.string(),
  iqn: z.string(),
  /** `iscsi://127.0.0.1:3260/iqn…/0` */
  url: z.string(),
  /** All who hold it on this node now, the caller among them. */
  holders: z.array(holderSchema),
});
export type AgentAttachAnswer = z.infer<typeof agentAttachAnswerSchema>;

/** POST /v1/volumes/:volume/detach — drops one consumer; the last one unmounts and detaches. */
export const agentDetachSchema = z.strictObject({
  consumer: consumerIdSchema.optional(),
  /** Drops nothing of what is held through another one. Absent: whichever it is. */
  door: doorSchema.optional(),
  /** Drops all consumers of this node. */
  all: z.boolean().optional(),
});
export type AgentDetach = z.infer<typeof agentDetachSchema>;

/** An absolute path without `.`, `..`, empty parts or control characters. */
export const absolutePathSchema = z
  .string()
  .max(1024)
  .refine(
    (path) => /^(\/[^/\p{Cc}]+)+$/u.test(path) && !/\/\.{1,2}(\/|$)/.test(path),
    'is not an absolute path, or has empty parts, "." , ".." or control characters in it',
  );

/** MOUNT_OPTIONS of agent/filesystem lists the ones that are taken. */
export const mountOptionsSchema = z.array(z.string().min(1).max(64)).max(32);

/**
 * POST /v1/volumes/:volume/stage — attaches it for one staging path (CSI NodeStageVolume), which
 * is its consumer; nothing is mounted on that path. Idempotent; again with other words: `exists`.
 */
export const stageSchema = z.strictObject({
  stagingPath: absolutePathSchema,
  door: doorSchema,
  as: z.enum(['mount', 'device']),
  /** What the caller expects to find or have made; absent: what the volume has. */
  fileSystem: z.enum(['ext4', 'xfs']).optional(),
  mountOptions: mountOptionsSchema.optional(),
  readOnly: z.boolean().optional(),
  label: consumerLabelSchema.optional(),
});
export type Stage = z.infer<typeof stageSchema>;

/** POST /v1/volumes/:volume/unstage — `inUse` while it is published from there; gone: fine. */
export const unstageSchema = z.strictObject({ stagingPath: absolutePathSchema });
export type Unstage = z.infer<typeof unstageSchema>;

/**
 * POST /v1/volumes/:volume/publish — binds what is staged to `targetPath`: the mounted folder, or
 * the device node on a file. The path is made if its parent is there. Idempotent; published there
 * with other words: `exists`; the path in use by somebody else: `inUse`; not staged: `notStaged`.
 */
export const publishSchema = z.strictObject({
  targetPath: absolutePathSchema,
  stagingPath: absolutePathSchema,
  as: z.enum(['mount', 'device']),
  readOnly: z.boolean().optional(),
  mountOptions: mountOptionsSchema.optional(),
  label: consumerLabelSchema.optional(),
});
export type Publish = z.infer<typeof publishSchema>;

/** POST /v1/volumes/:volume/unpublish — unmounts and removes the path; gone: fine. */
export const unpublishSchema = z.strictObject({ targetPath: absolutePathSchema });
export type Unpublish = z.infer<typeof unpublishSchema>;

/** POST /v1/volumes/:volume/stats — of a staging or target path; not there: `notFound`. */
export const statsRequestSchema = z.strictObject({ path: absolutePathSchema });
export type StatsRequest = z.infer<typeof statsRequestSchema>;
const usageSchema = z.object({ total: z.number(), used: z.number(), available: z.number() });
export const statsSchema = z.object({
  /** Of the file system; of a device: its size, and null for what nobody can know. */
  bytes: usageSchema.nullable(),
  inodes: usageSchema.nullable(),
  sizeBytes: z.number(),
  condition: z.enum(['healthy', 'degraded', 'faulted', 'unknown']),
  message: z.string(),
});
export type Stats = z.infer<typeof statsSchema>;

/** POST /v1/volumes/:volume/claim, …/unclaim and POST /v1/capacity are passed on: volumes.ts. */

/** POST /v1/volumes — passed on to the apiserver; waits until the volume is ready. */
export const agentCreateSchema = createVolumeSchema;

/** GET /v1/volumes[/:volume] — from the apiserver, else from the agent's own record. */
export const agentVolumeSchema = z.object({
  id: z.string(),
  name: z.string(),
  sizeBytes: z.number(),
  replicas: z.number(),
  fileSystem: z.enum(['ext4', 'xfs', 'none']),
  createdAt: z.string(),
  /** `unknown` when the apiserver is away. */
  condition: z.enum(['healthy', 'degraded', 'faulted', 'unknown']),
  message: z.string(),
  /** On this node; empty string when not mounted here. */
  mountpoint: z.string(),
  /** Ids of those who hold it on this node. */
  consumers: z.array(z.string()),
  /** All who hold it, on whatever node; of this node only when the apiserver is away. */
  holders: z.array(holderSchema),
  claim: claimSchema.nullable(),
  /** The node that it is attached to; null: none, or not known. */
  attachedTo: z.string().nullable(),
  fileSystemOptions: z.string(),
  /** Null when not known: the apiserver is away. */
  placement: z
    .object({
      pool: z.string().nullable(),
      nodes: z.array(z.string()),
      zones: z.array(z.string()),
      replicaNodes: z.array(z.string()),
    })
    .nullable(),
});
export type AgentVolume = z.infer<typeof agentVolumeSchema>;
export const agentVolumeListSchema = z.object({
  volumes: z.array(agentVolumeSchema),
  /** True when it came from the agent's own record. */
  cached: z.boolean(),
});

/** GET /v1/info */
export const agentInfoSchema = z.object({
  node: z.string(),
  zone: z.string().nullable(),
  version: z.string(),
  pid: z.number(),
  apiserver: z.string(),
  apiserverReachable: z.boolean(),
  attachMethod: z.enum(['kernel', 'userspace', 'none']),
  attachMethodReason: z.string(),
  warnings: z.array(z.string()),
});

/**
 * POST /v1/shutdown — what a Ctrl-C does. Not forced and a volume in use: nothing is stopped,
 * dirty pages are synced, and the answer names the users. Otherwise: unmount, detach, stop
 * targets (released), then replicas, then the agent.
 */
export const shutdownSchema = z.strictObject({
  force: z.boolean().optional(),
  /**
   * Which part: targets of all nodes must be released before any replica stops. `resume` takes all
   * of them back: another node could not go on.
   */
  stage: z.enum(['check', 'attachments', 'instances', 'exit', 'resume']),
});
export const shutdownAnswerSchema = z.object({
  inUse: z.array(
    z.object({
      volume: z.string(),
      mountpoint: z.string(),
      consumers: z.array(z.string()),
      /** `pid 123 (postgres)`, `container 4f2a…`: who has the mount. */
      holders: z.array(z.string()),
    }),
  ),
});
export type ShutdownAnswer = z.infer<typeof shutdownAnswerSchema>;
