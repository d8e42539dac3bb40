/** Nodes: registration and heartbeat, and what an agent reports with it. */
import { z } from 'zod';
import { holderSchema } from './doors.ts';

export const nodeNameSchema = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, 'a node name is a lower-case DNS name');

/** Told by people (`maya agent --zone`), for placement and topology. */
export const zoneNameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/,
    'a zone is a word of letters, digits and - _ . of at most 63 characters',
  );

/** This node's front doors, where served. */
export const socketsSchema = z.object({
  docker: z.string().optional(),
  csi: z.string().optional(),
});
export type Sockets = z.infer<typeof socketsSchema>;

export const poolReportSchema = z.object({
  id: z.string(),
  name: z.string(),
  path: z.string(),
  /** Of the file system, counted once even if several pools lie on it. */
  fileSystemId: z.string(),
  totalBytes: z.number(),
  freeBytes: z.number(),
  /** Promised to replicas in full, whether written or not. */
  reservedBytes: z.number(),
  /** What a new replica may still reserve here: 0 when unhealthy. */
  availableBytes: z.number(),
  state: z.enum(['online', 'failed']),
  reason: z.string(),
});
export type PoolReport = z.infer<typeof poolReportSchema>;

export const processStateSchema = z.enum(['running', 'starting', 'stopped', 'failed']);

export const replicaReportSchema = z.object({
  replicaId: z.string(),
  volumeId: z.string(),
  poolId: z.string(),
  process: processStateSchema,
  address: z.string(),
  allocatedBytes: z.number(),
  reason: z.string(),
});
export type ReplicaReport = z.infer<typeof replicaReportSchema>;

export const targetMemberReportSchema = z.object({
  replicaId: z.string(),
  /** What the target sees: connected and in which part of its life. */
  state: z.string(),
  rebuild: z.object({ copiedBytes: z.number(), totalBytes: z.number() }).nullable(),
  reason: z.string(),
});

export const targetReportSchema = z.object({
  volumeId: z.string(),
  instance: z.string(),
  attachmentToken: z.string(),
  process: processStateSchema,
  /** serving: commands are answered; waiting: held (R10, R18), `reason` says for what. */
  state: z.enum(['starting', 'serving', 'waiting', 'stopped', 'failed']),
  portal: z.string(),
  epoch: z.number(),
  members: z.array(targetMemberReportSchema),
  reason: z.string(),
});
export type TargetReport = z.infer<typeof targetReportSchema>;

export const heartbeatSchema = z.object({
  name: nodeNameSchema,
  /** `unix:/path` or `http://127.0.0.1:PORT`. */
  agentAddress: z.string(),
  bootId: z.string(),
  zone: zoneNameSchema.nullable(),
  version: z.string(),
  pools: z.array(poolReportSchema),
  replicas: z.array(replicaReportSchema),
  targets: z.array(targetReportSchema),
  /** Who holds which volume on this node. */
  consumers: z.array(
    z.object({ volumeId: z.string(), holders: z.array(holderSchema.omit({ node: true })) }),
  ),
  sockets: socketsSchema,
});
export type Heartbeat = z.infer<typeof heartbeatSchema>;

export const heartbeatAnswerSchema = z.object({
  /** The store's revision; an agent refuses an apiserver below the highest it has seen (R5). */
  revision: z.number().int(),
});

export const nodeViewSchema = z.object({
  name: z.string(),
  state: z.enum(['online', 'lost']),
  /** Where its agent answers, as it last said: `unix:/path` or `http://127.0.0.1:PORT`. */
  agentAddress: z.string(),
  lastSeenAt: z.string(),
  zone: z.string().nullable(),
  version: z.string(),
  pools: z.array(poolReportSchema),
  replicaCount: z.number(),
  targetCount: z.number(),
  sockets: socketsSchema,
});
export type NodeView = z.infer<typeof nodeViewSchema>;
export const nodeListSchema = z.object({ nodes: z.array(nodeViewSchema) });

export const statusSchema = z.object({
  version: z.string(),
  revision: z.number().int(),
  nodes: z.array(nodeViewSchema),
  volumeCount: z.number(),
  degraded: z.array(z.string()),
  warnings: z.array(z.string()),
});
export type StatusView = z.infer<typeof statusSchema>;
